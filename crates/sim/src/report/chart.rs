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
    /// Powers of ten at equal distances; values of 0 and less are not drawn.
    pub logarithmic: bool,
    /// What stands at 0, 1, 2 and so on instead of the number, where there are any.
    pub names: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Series {
    pub label: String,
    pub style: Style,
    /// What is not finite is not drawn.
    pub points: Vec<(f64, f64)>,
    /// Half the height of the error bar of each point, as the standard error; none where it is
    /// missing or 0.
    pub errors: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Line,
    /// What theory or a paper says. With as many measured series, each has the colour of its own.
    Dashed,
    Points,
    /// Side by side where several series have bars; from 0, or from the axis.
    Bars,
}

impl Chart {
    /// The name of its file: `NAME.svg`, whatever the name says.
    pub fn file(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!("{}.svg", self.name.chars().map(safe).collect::<String>())
    }
}

impl Axis {
    pub fn linear(label: &str) -> Axis {
        Axis { label: label.to_owned(), ..Axis::default() }
    }

    pub fn logarithmic(label: &str) -> Axis {
        Axis { label: label.to_owned(), logarithmic: true, ..Axis::default() }
    }

    /// Named places, at 0, 1, 2 and so on.
    pub fn named<T: Into<String>>(label: &str, names: impl IntoIterator<Item = T>) -> Axis {
        let names = names.into_iter().map(Into::into).collect();
        Axis { label: label.to_owned(), names, ..Axis::default() }
    }
}

impl Series {
    pub fn new(label: impl Into<String>, style: Style, points: Vec<(f64, f64)>) -> Series {
        Series { label: label.into(), style, points, errors: Vec::new() }
    }

    /// The same with error bars, in the order of the points.
    pub fn with_errors(self, errors: Vec<f64>) -> Series {
        Series { errors, ..self }
    }
}
