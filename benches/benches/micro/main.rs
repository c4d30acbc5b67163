//! What the parts of the hot paths cost by themselves, on records as they are in a run: `cargo bench -p benches`, with a part
//! of a name after `--` to run less.
//!
//! Each works on many different orders in turn, so that no branch and no cache knows the next one, and gives what it made to
//! a black box, so that nothing of it is left out.

mod codec;
mod conversion;
mod derivation;
mod money;
mod orders;
mod step;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    conversion::signature(&mut criterion);
    conversion::parse(&mut criterion);
    codec::ours(&mut criterion);
    codec::apache(&mut criterion);
    derivation::derive(&mut criterion);
    derivation::rule(&mut criterion);
    step::step(&mut criterion);
    money::amounts(&mut criterion);
    money::shares(&mut criterion);
    criterion.final_summary();
}
