//! What the fuzz targets share with the tests: made-up populations, their writers, what must hold for every count, and
//! what each target does with its input.

#[allow(
    dead_code,
    reason = "each target uses its part, and the property tests the rest"
)]
#[path = "../../it/books.rs"]
pub(crate) mod books;
#[allow(
    dead_code,
    reason = "each target uses its part, and the property tests the rest"
)]
#[path = "../../it/population.rs"]
pub(crate) mod population;

#[allow(dead_code, reason = "each target calls one")]
#[path = "../bodies/mod.rs"]
pub(crate) mod bodies;
