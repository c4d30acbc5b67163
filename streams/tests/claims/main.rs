//! What the model of Kafka claims of Kafka, asserted of both.
//!
//! Each claim is a function over any [`World`](world::World), called once with the model and once with a real broker.

mod groups;
mod members;
mod positions;
mod real;
mod records;
mod transactions;
mod world;

/// Makes two tests of each claim: `NAME::model` and `NAME::kafka`.
macro_rules! claims {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[test]
                fn model() {
                    super::claim::$name(&crate::world::Model::new());
                }

                #[test]
                fn kafka() {
                    super::claim::$name(&crate::real::Real::new());
                }
            }
        )*
    };
}
pub(crate) use claims;
