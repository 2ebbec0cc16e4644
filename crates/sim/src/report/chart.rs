//! Decides how a chart looks: axes, series, legend, as one self-contained SVG.

/// Lines, points or bars over two axes.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Letters, digits and dashes: names the file that it is written to.
    pub name: String,
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// With its unit.
    pub label: String,
    pub logarithmic: bool,
}

#[derive(Clone, Debug)]
pub struct Series {
    pub label: String,
    pub style: Style,
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Line,
    /// What theory or a paper says.
    Dashed,
    Points,
    Bars,
}

impl Axis {
    pub fn linear(label: &str) -> Axis {
        Axis { label: label.to_owned(), logarithmic: false }
    }

    pub fn logarithmic(label: &str) -> Axis {
        Axis { label: label.to_owned(), logarithmic: true }
    }
}
