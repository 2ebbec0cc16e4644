//! Decides how results are drawn: charts as SVG, reports as one HTML file that needs nothing else.

pub mod chart;
pub mod html;
mod markup;
pub mod number;
pub mod run;
mod scale;
pub mod summary;
mod svg;
pub mod sweep;
pub mod table;
