//! Decides how results are drawn: charts as SVG, reports as one HTML file that needs nothing else.

pub mod chart;
