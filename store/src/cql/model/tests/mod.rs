//! What needs no server: the mapping, the batches and the walk.

mod draw;
mod mapped;
mod walked;
