//! Decides how a chart is laid out: title, legend, plot and axes from top to bottom, so that no
//! text ever covers data. Text has no measured width here; it is estimated, on the wide side.

use std::fmt::Write as _;

use super::chart::{Chart, Series, Style};
use super::markup::escape;
use super::number;
use super::scale::{Ends, Scale, Tick};

const WIDTH: f64 = 760.0;
const PLOT_HEIGHT: f64 = 300.0;
const MARGIN: f64 = 20.0;
/// Distance of the outermost points from the ends of the horizontal axis.
const INSET: f64 = 10.0;
const TITLE: f64 = 16.0;
const TEXT: f64 = 12.5;
const LINE: f64 = 18.0;
const SWATCH: f64 = 30.0;
/// A letter's width as a share of the size of its font.
const LETTER: f64 = 0.58;

/// Told apart with every common colour blindness, on light and on dark paper alike; markers of
/// different shapes carry the same distinction.
const COLOURS: [(&str, &str); 7] = [
    ("#0072b2", "#4ea8e8"),
    ("#d55e00", "#ff8a4a"),
    ("#00875f", "#2fc79a"),
    ("#b5478d", "#f08cc6"),
    ("#9a6f00", "#e6b422"),
    ("#3d9bd6", "#9ad6ff"),
    ("#1f2328", "#e6e9ed"),
];
/// Of about 8 pixels: disc, square, triangle, diamond, triangle on its head, cross.
const SHAPES: [&str; 6] = [
    "M-3.8 0a3.8 3.8 0 1 0 7.6 0a3.8 3.8 0 1 0 -7.6 0z",
    "M-3.5 -3.5h7v7h-7z",
    "M0 -4.8l4.6 8h-9.2z",
    "M0 -5l5 5l-5 5l-5 -5z",
    "M0 4.8l4.6 -8h-9.2z",
    "M-1.5 -4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
];
const DASHES: [&str; 3] = ["6 4", "2 3", "10 3 2 3"];

impl Chart {
    /// The chart as one SVG that needs nothing else. Equal charts give equal text.
    pub fn svg(&self) -> String {
        let looks = looks(&self.series);
        let drawn: Vec<Drawn<'_>> =
            self.series.iter().zip(looks).map(|(s, look)| self.drawn(s, look)).collect();
        let mut out = String::new();
        let mut y = title(&mut out, &self.title);
        y = legend(&mut out, &drawn, y);
        text(&mut out, MARGIN, y + LINE, "start", "tc-muted", &self.y.label);
        let plot = self.plot(&drawn, y + LINE + 16.0);
        y = axes(&mut out, self, &plot);
        let bars = drawn.iter().filter(|d| d.series.style == Style::Bars).count();
        let mut bar = 0;
        for one in &drawn {
            match one.series.style {
                Style::Bars => {
                    draw_bars(&mut out, self, &plot, one, bar, bars);
                    bar += 1;
                }
                Style::Line | Style::Dashed | Style::Points => {
                    draw_points(&mut out, self, &plot, one);
                }
            }
        }
        if drawn.iter().all(|d| d.points.iter().all(Option::is_none)) {
            let middle = (plot.top + plot.bottom) / 2.0;
            text(&mut out, WIDTH / 2.0, middle, "middle", "tc-muted", "no data");
        }
        format!("{}{out}</svg>\n", head(&self.title, y + MARGIN))
    }

    /// What of a series has a place on the axes.
    fn drawn<'a>(&self, series: &'a Series, look: Look) -> Drawn<'a> {
        let fits = |value: f64, logarithmic: bool| {
            value.abs() <= 1e300 && (!logarithmic || value >= 1e-300)
        };
        let point = |(at, &(x, y)): (usize, &(f64, f64))| {
            let error = series.errors.get(at).copied().filter(|e| e.is_finite() && *e > 0.0);
            (fits(x, self.x.logarithmic) && fits(y, self.y.logarithmic)).then_some(Point {
                x,
                y,
                error: error.unwrap_or(0.0),
            })
        };
        Drawn { series, look, points: series.points.iter().enumerate().map(point).collect() }
    }

    fn plot(&self, drawn: &[Drawn<'_>], top: f64) -> Plot {
        let points: Vec<Point> =
            drawn.iter().flat_map(|d| d.points.iter().flatten()).copied().collect();
        let bars = drawn.iter().any(|d| d.series.style == Style::Bars);
        let xs: Vec<f64> = points.iter().map(|p| p.x).collect();
        let ys: Vec<f64> = points
            .iter()
            .flat_map(|p| [p.y, p.y - p.error, p.y + p.error])
            .filter(|y| y.is_finite() && (!self.y.logarithmic || *y > 0.0))
            .collect();
        let x = match self.x.names.is_empty() {
            true => Scale::of(&xs, self.x.logarithmic, Ends::Data, 9),
            false => Scale::named(&self.x.names),
        };
        let y = Scale::of(&ys, self.y.logarithmic, if bars { Ends::Zero } else { Ends::Ticks }, 6);
        let label = y.ticks.iter().map(|t| width(&t.label, TEXT)).fold(0.0, f64::max);
        let left = MARGIN + label + 8.0;
        let (right, bottom) = (WIDTH - MARGIN, top + PLOT_HEIGHT);
        let mut plot = Plot { left, right, top, bottom, inset: INSET, slot: 0.0, x, y };
        if bars || !self.x.names.is_empty() {
            let stops = if self.x.names.is_empty() {
                xs
            } else {
                (0..self.x.names.len()).map(|i| i as f64).collect()
            };
            plot.make_room(&stops);
        }
        plot
    }
}

/// A series with what is needed to draw it. A point without a place is a gap.
struct Drawn<'a> {
    series: &'a Series,
    look: Look,
    points: Vec<Option<Point>>,
}

#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    error: f64,
}

#[derive(Clone, Copy)]
struct Look {
    /// Among `COLOURS`, or none: the colour of minor text.
    colour: Option<usize>,
    /// Among the shapes of markers and the patterns of dashes.
    shape: usize,
    /// Where large markers would cover each other.
    small: bool,
}

/// Measured series take the colours in order. A dashed one shares the colour of its measured
/// counterpart where each has one; else it stays grey.
fn looks(series: &[Series]) -> Vec<Look> {
    let dashed = series.iter().filter(|s| s.style == Style::Dashed).count();
    let paired = 2 * dashed == series.len();
    let (mut solid, mut dashes) = (0, 0);
    let mut look = |one: &Series| {
        let count = if one.style == Style::Dashed { &mut dashes } else { &mut solid };
        let shape = *count;
        *count += 1;
        let coloured = one.style != Style::Dashed || paired;
        let small = one.points.len() > 60;
        Look { colour: coloured.then_some(shape % COLOURS.len()), shape, small }
    };
    series.iter().map(&mut look).collect()
}

impl Look {
    fn class(self) -> String {
        self.colour.map_or("tc-muted".to_owned(), |c| format!("tc-{c}"))
    }
}

/// Where the data are drawn, and how values become places.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Between the ends of the axis and the outermost values.
    inset: f64,
    /// Room of one group of bars or one name.
    slot: f64,
    x: Scale,
    y: Scale,
}

impl Plot {
    /// Half a slot before the first and after the last stop, so that bars and names have room.
    fn make_room(&mut self, stops: &[f64]) {
        let mut places: Vec<f64> = stops.iter().filter_map(|x| self.x.place(*x)).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let gaps = places.windows(2).map(|w| w[1] - w[0]);
        let gap = gaps.fold(f64::INFINITY, f64::min);
        let room = self.right - self.left;
        self.inset = if gap.is_finite() { gap * room / (2.0 + 2.0 * gap) } else { room / 2.0 };
        self.slot = 2.0 * self.inset;
    }

    fn across(&self, x: f64) -> f64 {
        let room = self.right - self.left - 2.0 * self.inset;
        self.left + self.inset + self.x.place(x).unwrap_or(0.0) * room
    }

    fn up(&self, y: f64) -> f64 {
        let place = self.y.place(y).unwrap_or(0.0).clamp(0.0, 1.0);
        self.bottom - place * (self.bottom - self.top)
    }
}

fn head(title: &str, height: f64) -> String {
    let mut css = String::from(
        ".tc-paper{fill:#fff}.tc-grid{color:#e1e5ea}.tc-ink{color:#1f2328}.tc-muted{color:#57606a}",
    );
    let mut dark = String::from(
        ".tc-paper{fill:#14181d}.tc-grid{color:#2d343c}.tc-ink{color:#e6e9ed}.tc-muted{color:#9aa4af}",
    );
    for (at, (on_light, on_dark)) in COLOURS.iter().enumerate() {
        let _ = write!(css, ".tc-{at}{{color:{on_light}}}");
        let _ = write!(dark, ".tc-{at}{{color:{on_dark}}}");
    }
    let fonts = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title}\" font-family=\"{fonts}\" \
         font-size=\"{TEXT}\">\n<style>{css}@media (prefers-color-scheme:dark){{{dark}}}</style>\n\
         <rect class=\"tc-paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n"
    )
}

/// Returns where the next part begins.
fn title(out: &mut String, title: &str) -> f64 {
    let mut y = MARGIN;
    for line in wrapped(title, WIDTH - 2.0 * MARGIN, TITLE) {
        y += TITLE * 1.25;
        let line = escape(&line);
        let _ = writeln!(
            out,
            "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"{TITLE}\" font-weight=\"600\" \
             class=\"tc-ink\" fill=\"currentColor\">{line}</text>",
            y - 4.0
        );
    }
    y
}

/// As many rows as the labels need; nothing for a single series without a label.
fn legend(out: &mut String, drawn: &[Drawn<'_>], top: f64) -> f64 {
    let (mut x, mut y) = (MARGIN, top + LINE);
    let labelled = drawn.iter().filter(|d| !d.series.label.is_empty());
    let mut any = false;
    for one in labelled {
        let label = shortened(&one.series.label, 100);
        let room = SWATCH + width(&label, TEXT) + 22.0;
        if any && x + room > WIDTH {
            (x, y) = (MARGIN, y + LINE);
        }
        swatch(out, one, x, y);
        text(out, x + SWATCH, y + 4.5, "start", "tc-ink", &label);
        x += room;
        any = true;
    }
    if any { y + 10.0 } else { top + 4.0 }
}

fn swatch(out: &mut String, one: &Drawn<'_>, x: f64, y: f64) {
    let class = one.look.class();
    let _ = write!(out, "<g class=\"{class}\">");
    let middle = x + 11.0;
    match one.series.style {
        Style::Bars => {
            let (x, y) = (x + 5.0, y - 6.0);
            let _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"currentColor\"/>"
            );
        }
        Style::Points => marker(out, one.look, middle, y, ""),
        Style::Line | Style::Dashed => {
            path(out, &format!("M{x:.1} {y:.1}h22"), one);
            if has_markers(one) {
                marker(out, one.look, middle, y, "");
            }
        }
    }
    out.push_str("</g>\n");
}

/// Grid, ticks and labels; returns where they end.
fn axes(out: &mut String, chart: &Chart, plot: &Plot) -> f64 {
    let (left, right, top, bottom) = (plot.left, plot.right, plot.top, plot.bottom);
    out.push_str("<g class=\"tc-grid\" stroke=\"currentColor\">\n");
    for tick in &plot.y.ticks {
        let y = plot.up(tick.value);
        let _ = writeln!(out, "<path d=\"M{left:.1} {y:.1}H{right:.1}\"/>");
    }
    if chart.x.logarithmic {
        for tick in &plot.x.ticks {
            let x = plot.across(tick.value);
            let _ = writeln!(out, "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
        }
    }
    out.push_str("</g>\n");
    for tick in &plot.y.ticks {
        let y = plot.up(tick.value) + 4.5;
        text(out, left - 8.0, y, "end", "tc-muted", &tick.label);
    }
    let ground = plot.up(plot.y.ground());
    let _ = writeln!(
        out,
        "<path class=\"tc-muted\" d=\"M{left:.1} {ground:.1}H{right:.1}\" stroke=\"currentColor\"/>"
    );
    let mut y = bottom + LINE;
    if chart.x.names.is_empty() {
        for tick in sparse(plot) {
            let x = plot.across(tick.value);
            let _ = writeln!(
                out,
                "<path class=\"tc-muted\" d=\"M{x:.1} {bottom:.1}v4\" stroke=\"currentColor\"/>"
            );
            text(out, x, y, "middle", "tc-muted", &tick.label);
        }
    } else {
        y = names(out, plot, y);
    }
    if chart.x.label.is_empty() {
        return y;
    }
    y += LINE + 4.0;
    text(out, (left + right) / 2.0, y, "middle", "tc-muted", &chart.x.label);
    y
}

/// Every so many ticks, so that their labels stand apart.
fn sparse(plot: &Plot) -> Vec<&Tick> {
    let ticks = &plot.x.ticks;
    let room = |tick: &Tick| (plot.across(tick.value), width(&tick.label, TEXT) / 2.0 + 5.0);
    let apart = |every: usize| {
        let kept: Vec<(f64, f64)> = ticks.iter().step_by(every).map(room).collect();
        kept.windows(2).all(|w| w[1].0 - w[0].0 >= w[0].1 + w[1].1)
    };
    let every = (1..ticks.len()).find(|every| apart(*every)).unwrap_or(ticks.len().max(1));
    ticks.iter().step_by(every).collect()
}

/// Names of places below the axis, broken into lines where they are long.
fn names(out: &mut String, plot: &Plot, top: f64) -> f64 {
    let mut lowest = top;
    for tick in &plot.x.ticks {
        let lines = wrapped(&tick.label, plot.slot - 4.0, TEXT);
        for (at, line) in lines.iter().enumerate() {
            let y = top + at as f64 * 15.0;
            text(out, plot.across(tick.value), y, "middle", "tc-muted", line);
            lowest = lowest.max(y);
        }
    }
    lowest
}

/// Lines with their gaps, markers and error bars.
fn draw_points(out: &mut String, chart: &Chart, plot: &Plot, one: &Drawn<'_>) {
    let class = one.look.class();
    let _ = writeln!(out, "<g class=\"{class}\">");
    if one.series.style != Style::Points {
        path(out, &way(plot, &one.points), one);
    }
    let tell = one.points.len() <= 400;
    for point in one.points.iter().flatten() {
        let (x, y) = (plot.across(point.x), plot.up(point.y));
        whisker(out, plot, x, point);
        if has_markers(one) {
            let told = if tell { tip(chart, one, point) } else { String::new() };
            marker(out, one.look, x, y, &told);
        }
    }
    out.push_str("</g>\n");
}

/// The path of a line; points less than half a pixel from the last one are left out.
fn way(plot: &Plot, points: &[Option<Point>]) -> String {
    let mut way = String::new();
    let mut last: Option<(f64, f64)> = None;
    for (at, point) in points.iter().enumerate() {
        let Some(point) = point else {
            last = None;
            continue;
        };
        let (x, y) = (plot.across(point.x), plot.up(point.y));
        let ends = points.get(at + 1).is_none_or(Option::is_none);
        match last {
            Some((lx, ly)) if (x - lx).abs() < 0.5 && (y - ly).abs() < 0.5 && !ends => continue,
            Some(_) => way.push('L'),
            None => way.push('M'),
        }
        let _ = write!(way, "{x:.1} {y:.1}");
        last = Some((x, y));
    }
    way
}

/// Bar number `at` of the `of` that stand side by side at each place.
fn draw_bars(out: &mut String, chart: &Chart, plot: &Plot, one: &Drawn<'_>, at: usize, of: usize) {
    let wide = (plot.slot * 0.8 / of as f64).clamp(1.0, 56.0);
    let ground = plot.up(plot.y.ground());
    let valued = one.points.len() * of <= 24 && wide >= 28.0;
    let _ = writeln!(out, "<g class=\"tc-ink\"><g class=\"{}\">", one.look.class());
    let mut values = String::new();
    for point in one.points.iter().flatten() {
        let left = plot.across(point.x) + (at as f64 - of as f64 / 2.0) * wide;
        let (top, high) = (plot.up(point.y).min(ground), (plot.up(point.y) - ground).abs());
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" \
             fill=\"currentColor\"><title>{}</title></rect>",
            left + 1.0,
            (wide - 2.0).max(1.0),
            high.max(1.0),
            tip(chart, one, point),
        );
        if valued {
            let above = plot.up(point.y + point.error).min(ground) - 5.0;
            let value = number::brief(point.y);
            text(&mut values, left + wide / 2.0, above, "middle", "tc-ink", &value);
        }
    }
    out.push_str("</g>\n");
    for point in one.points.iter().flatten() {
        let left = plot.across(point.x) + (at as f64 - of as f64 / 2.0) * wide;
        whisker(out, plot, left + wide / 2.0, point);
    }
    let _ = writeln!(out, "{values}</g>");
}

fn whisker(out: &mut String, plot: &Plot, x: f64, point: &Point) {
    if point.error > 0.0 {
        let low = point.y - point.error;
        let (low, high) = (plot.up(low), plot.up(point.y + point.error));
        let (a, b) = (x - 3.5, x + 3.5);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {low:.1}V{high:.1}M{a:.1} {low:.1}H{b:.1}M{a:.1} {high:.1}H{b:.1}\" \
             stroke=\"currentColor\" stroke-width=\"1.3\" fill=\"none\"/>"
        );
    }
}

fn path(out: &mut String, way: &str, one: &Drawn<'_>) {
    let dash = match one.series.style {
        Style::Dashed => format!(" stroke-dasharray=\"{}\"", DASHES[one.look.shape % DASHES.len()]),
        Style::Line | Style::Points | Style::Bars => String::new(),
    };
    let _ = writeln!(
        out,
        "<path d=\"{way}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" \
         stroke-linejoin=\"round\"{dash}/>"
    );
}

/// Lines have markers where their points can be told apart.
fn has_markers(one: &Drawn<'_>) -> bool {
    let points = one.points.len();
    match one.series.style {
        Style::Points => true,
        Style::Line => points <= 32,
        Style::Dashed | Style::Bars => false,
    }
}

/// A shape around a place; `told` is shown to who points at it.
fn marker(out: &mut String, look: Look, x: f64, y: f64, told: &str) {
    let shape = SHAPES[look.shape % SHAPES.len()];
    let scale = if look.small { " scale(.6)" } else { "" };
    let title = if told.is_empty() { String::new() } else { format!("<title>{told}</title>") };
    let _ = writeln!(
        out,
        "<path d=\"{shape}\" transform=\"translate({x:.1} {y:.1}){scale}\" \
         fill=\"currentColor\">{title}</path>"
    );
}

/// What a point says when asked: series, place and value. Escaped.
fn tip(chart: &Chart, one: &Drawn<'_>, point: &Point) -> String {
    let name = chart.x.names.get(point.x as usize).filter(|_| point.x >= 0.0);
    let x = name.cloned().unwrap_or_else(|| number::show(point.x));
    let error = match point.error > 0.0 {
        true => format!(" ± {}", number::show(point.error)),
        false => String::new(),
    };
    escape(&format!("{}: {x} → {}{error}", one.series.label, number::show(point.y)))
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\" \
         fill=\"currentColor\">{text}</text>"
    );
}

/// About how wide a text is.
fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// Words in lines that are not wider than `room`; a word that is, is shortened.
fn wrapped(text: &str, room: f64, size: f64) -> Vec<String> {
    let letters = ((room / (size * LETTER)) as usize).max(3);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = shortened(word, letters);
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn shortened(text: &str, letters: usize) -> String {
    match text.chars().count() > letters {
        true => text.chars().take(letters - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Axis;
    use super::*;

    fn chart(x: Axis, y: Axis, series: Vec<Series>) -> Chart {
        Chart { name: "test".to_owned(), title: "Title".to_owned(), x, y, series }
    }

    /// Every opened element is closed, in order, and no number is missing.
    fn well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a whole tag");
            let name = tag.split([' ', '\n']).next().unwrap();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{svg}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?} in {svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn what_a_label_says_is_never_markup() {
        let evil = "<script>&\"'\0";
        let series = Series::new(evil, Style::Points, vec![(1.0, 2.0)]);
        let svg = Chart {
            title: evil.to_owned(),
            ..chart(Axis::named(evil, [evil, evil]), Axis::linear(evil), vec![series])
        }
        .svg();
        well_formed(&svg);
        assert!(!svg.contains("<script") && !svg.contains('\0'));
        assert_eq!(svg.matches("&lt;script&gt;&amp;&quot;&#39;�").count(), 9);
    }

    #[test]
    fn any_data_make_a_whole_chart_and_always_the_same() {
        let shapes: [&[(f64, f64)]; 8] = [
            &[],
            &[(3.0, 7.0)],
            &[(0.0, 0.0)],
            &[(1.0, 1e-300), (2.0, 1e300)],
            &[(f64::NAN, 1.0), (1.0, f64::INFINITY)],
            &[(-5.0, -1e-12), (1e9, 3e-12)],
            &[(-f64::MAX, f64::MAX), (f64::MAX, -f64::MAX)],
            &[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)],
        ];
        for points in shapes {
            for style in [Style::Line, Style::Dashed, Style::Points, Style::Bars] {
                for logarithmic in [false, true] {
                    let axis = |label: &str| Axis { logarithmic, ..Axis::linear(label) };
                    let series = Series::new("a", style, points.to_vec()).with_errors(vec![1.0]);
                    let all = vec![series.clone(), series];
                    let chart = chart(axis("x"), axis("y"), all);
                    well_formed(&chart.svg());
                    assert_eq!(chart.svg(), chart.clone().svg());
                }
            }
        }
        assert!(chart(Axis::default(), Axis::default(), vec![]).svg().contains("no data"));
    }

    #[test]
    fn a_logarithmic_axis_sets_decades_at_equal_distances_and_skips_zero() {
        let points = vec![(1.0, 1.0), (10.0, 100.0), (100.0, 0.0), (100.0, 10_000.0)];
        let line = Series::new("a", Style::Line, points);
        let svg = chart(Axis::logarithmic("x"), Axis::logarithmic("y"), vec![line]).svg();
        let centres: Vec<f64> = svg
            .lines()
            .filter(|l| l.contains("<title>a: "))
            .map(|l| {
                l.split("translate(").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
            })
            .collect();
        assert_eq!(centres.len(), 3, "zero has no place");
        assert!((centres[1] - centres[0] - (centres[2] - centres[1])).abs() < 0.2, "{centres:?}");
        let line = svg
            .lines()
            .find(|l| l.contains("d=\"M") && l.contains("stroke-linejoin") && l.contains('L'))
            .unwrap();
        assert_eq!(line.matches('M').count(), 2, "a gap where zero was");
    }

    #[test]
    fn theory_has_the_colour_of_its_measurement_and_is_grey_alone() {
        let one = |style| Series::new("s", style, vec![(1.0, 1.0), (2.0, 2.0)]);
        let colours = |styles: &[Style]| -> Vec<Option<usize>> {
            let series: Vec<Series> = styles.iter().map(|s| one(*s)).collect();
            looks(&series).iter().map(|l| l.colour).collect()
        };
        use Style::{Dashed, Line, Points};
        assert_eq!(colours(&[Line, Dashed, Points, Dashed]), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(colours(&[Line, Points, Dashed]), [Some(0), Some(1), None]);
    }

    #[test]
    fn long_lines_are_thinned_to_what_can_be_seen() {
        let points = (0..100_000).map(|i| (f64::from(i), (f64::from(i) / 1e4).sin())).collect();
        let line = Series::new("wave", Style::Line, points);
        let svg = chart(Axis::linear("x"), Axis::linear("y"), vec![line]).svg();
        assert!(svg.len() < 30_000, "{}", svg.len());
    }
}
