//! What the fuzz targets share with the property tests: made-up populations, their writers, and what must hold for
//! every count.

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
