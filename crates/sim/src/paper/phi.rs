//! Decides whether phi means what it says: how often each form is wrong at a threshold, with and
//! without loss, and what its patience costs in detection time (Hayashibara et al. 2004; Akka and
//! Cassandra as published; the loss-aware form is ours).

use std::time::Duration;

use tidings_proto::base::rng::Rng;
use tidings_proto::config::PhiForm;
use tidings_proto::detection::phi::{Estimate, Window, akka, normal};

use super::{Bar, Row, Table};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::work::Work;

/// Heartbeats are sent every second and arrive up to some 0.2 s off, as in PAPERS 4.
const PERIOD: f64 = 1.0;
const JITTER: f64 = 0.05;
const WINDOW: usize = 1000;
/// Jitter is never below this: no form is held up by its least deviation.
const LEAST: f64 = 1e-3;

/// Loss rates whose calibration has a bar; without loss there is nothing to calibrate.
const LOSSES: [f64; 5] = [0.0, 0.01, 0.05, 0.1, 0.3];
const THRESHOLDS: [i32; 4] = [1, 2, 4, 6];
/// Below so many expected mistakes a count says nothing.
const EVENTS_MIN: f64 = 10.0;
/// Heartbeats of one item of work.
const BLOCK: usize = 1_000_000;
/// What a mistake rate is counted for: phi in quarters up to 16.
const STEPS: usize = 64;
const STEP: f64 = 0.25;

/// The forms as they are compared: Akka with its defaults, 3 s of pause and 100 ms of least
/// deviation.
const CLASSIC: [(PhiForm, f64, f64); 4] = [
    (PhiForm::LossAware, 0.0, LEAST),
    (PhiForm::Normal, 0.0, LEAST),
    (PhiForm::Akka, 3.0, 0.1),
    (PhiForm::Exponential, 0.0, LEAST),
];

/// PAPERS 4, "10^-Phi is false under loss": mistakes per 10^6 heartbeats and detection time in
/// seconds at phi 8 of normal, Akka + 3 s and exponential, by loss.
const PUBLISHED: [(f64, [(f64, f64); 3]); 5] = [
    (0.0, [(0.0, 1.40), (0.0, 4.6), (0.0, 18.4)]),
    (0.01, [(10_012.0, 1.70), (0.0, 4.7), (0.0, 18.6)]),
    (0.05, [(2461.0, 2.42), (0.0, 5.4), (0.0, f64::NAN)]),
    (0.1, [(2993.0, 3.12), (6.7, 6.1), (0.0, 20.5)]),
    (0.3, [(2036.0, 5.8), (67.0, 8.8), (0.0, 26.3)]),
];

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "Phi accrual: what a threshold promises".to_owned(),
        notes: notes(),
        ..Table::default()
    };
    calibration(work, &mut table);
    let compared = work.map("forms at one stream", &LOSSES, |&loss| {
        let beats = if work.quick { 300_000 } else { BLOCK };
        compare(work.seed, loss, beats)
    });
    let compared: Vec<Compared> = compared.into_iter().flatten().collect();
    for forms in &compared {
        classic_rows(forms, &mut table);
    }
    detection_rows(&compared, &mut table);
    numeric_rows(&mut table);
    table.charts = charts(&compared);
    table
}

fn notes() -> Vec<String> {
    [
        "Heartbeats are sent every second, are lost independently, and arrive with normal jitter of \
         50 ms; the last 1,000 arrivals are the window. A mistake is a heartbeat that arrives after \
         phi had passed the threshold. Rates are per heartbeat that arrived: phi is a statement \
         about the next one that does. Per heartbeat sent they are (1 - loss) times that, which is \
         why PAPERS 4 has 0.70e-2 at 30 % loss.",
        "Period and jitter are estimated from intervals divided by the sends that they span, so that \
         a lost heartbeat is no jitter; the loss from gaps in the sequence numbers, with half a loss \
         more than was seen.",
        "Without loss the loss-aware form makes no mistake at 4 and 6: it never believes in a loss \
         below 0.05 %, so it waits for one or two lost heartbeats that are never lost. There is \
         nothing to calibrate, and no bar. A count of fewer than ten expected mistakes has no bar \
         either.",
    ]
    .map(str::to_owned)
    .to_vec()
}

// The stream of heartbeats.

/// Arrivals as a receiver sees them: how long after the last, and how many sends that spans.
struct Arrivals {
    rng: Rng,
    loss: f64,
    /// Sends since the last arrival, and how late that was.
    last_jitter: f64,
    spare: Option<f64>,
}

impl Arrivals {
    fn new(seed: u64, loss: f64) -> Arrivals {
        Arrivals { rng: Rng::from_u64(seed), loss, last_jitter: 0.0, spare: None }
    }

    fn next(&mut self) -> (f64, u64) {
        let mut sends = 1;
        while self.loss > 0.0 && self.rng.chance(self.loss) {
            sends += 1;
        }
        let jitter = JITTER * self.standard_normal();
        let interval = sends as f64 * PERIOD + jitter - self.last_jitter;
        self.last_jitter = jitter;
        (interval, sends)
    }

    /// Box and Muller 1958: exact as far out as uniforms reach, some eight deviations.
    fn standard_normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.rng.unit()));
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.rng.unit());
        self.spare = Some(radius * sin);
        radius * cos
    }
}

/// Runs a stream of `beats` arrivals past a full window; `visit` sees each estimate with the
/// interval that it has not seen yet.
fn stream(seed: u64, loss: f64, beats: usize, mut visit: impl FnMut(usize, &Estimate, f64)) {
    let mut arrivals = Arrivals::new(seed, loss);
    let mut window = Window::new(WINDOW, Duration::from_secs_f64(PERIOD));
    for n in 0..beats + WINDOW + 2 {
        let (interval, sends) = arrivals.next();
        if n >= WINDOW + 2 {
            visit(n - WINDOW - 2, &window.estimate(), interval);
        }
        window.add(Duration::from_secs_f64(interval), sends);
    }
}

// Calibration of the loss-aware form.

fn calibration(work: &Work<'_>, table: &mut Table) {
    let blocks = if work.quick { 1 } else { 50 };
    let items: Vec<(f64, u64)> = LOSSES
        .iter()
        .flat_map(|&loss| (0..blocks).map(move |block| (loss, work.seed * 1000 + block)))
        .collect();
    let counted = work.map("calibration", &items, |&(loss, seed)| mistakes(seed, loss));
    for loss in LOSSES {
        let of_loss = items.iter().zip(&counted).filter(|((l, _), _)| *l == loss);
        let counts: Vec<&[u64; 4]> = of_loss.filter_map(|(_, c)| c.as_ref()).collect();
        let beats = (counts.len() * BLOCK) as f64;
        for (at, phi) in THRESHOLDS.into_iter().enumerate().filter(|_| !counts.is_empty()) {
            let count = counts.iter().map(|c| c[at]).sum::<u64>() as f64;
            let expected = beats * libm::pow(10.0, f64::from(-phi));
            let judged = loss > 0.0 && expected >= EVENTS_MIN;
            table.rows.push(Row {
                what: format!(
                    "loss {:.0} %, loss-aware: mistakes at {phi} / 10^-{phi}",
                    loss * 1e2
                ),
                paper: Some(1.0),
                ours: count / expected,
                se: count.sqrt() / expected,
                bar: match judged {
                    true => Bar::Near { of: 1.25, tolerance: 0.75 },
                    false => Bar::None,
                },
            });
        }
    }
}

/// Mistakes at each threshold in one block of arrivals.
fn mistakes(seed: u64, loss: f64) -> [u64; 4] {
    let mut counts = [0; 4];
    stream(seed, loss, BLOCK, |_, estimate, interval| {
        let phi = estimate.phi(PhiForm::LossAware, interval, 0.0, LEAST);
        for (count, threshold) in counts.iter_mut().zip(THRESHOLDS) {
            *count += u64::from(phi > f64::from(threshold));
        }
    });
    counts
}

// The forms beside each other.

struct Compared {
    loss: f64,
    beats: usize,
    forms: Vec<Curve>,
}

/// One form at one stream.
struct Curve {
    form: PhiForm,
    /// Arrivals by the phi that they came at, in steps.
    histogram: Vec<u64>,
    /// Mean wait in seconds until phi reaches each step, from 1.
    waits: Vec<f64>,
}

impl Curve {
    /// Mistakes per arrival at a threshold that is a whole number of steps.
    fn rate(&self, step: usize) -> f64 {
        let late: u64 = self.histogram[step..].iter().sum();
        late as f64 / self.histogram.iter().sum::<u64>() as f64
    }
}

fn compare(seed: u64, loss: f64, beats: usize) -> Compared {
    let curve = |&(form, ..): &(PhiForm, f64, f64)| Curve {
        form,
        histogram: vec![0; STEPS + 1],
        waits: vec![0.0; STEPS],
    };
    let mut forms: Vec<Curve> = CLASSIC.iter().map(curve).collect();
    let samples = 20;
    stream(seed, loss, beats, |n, estimate, interval| {
        for (curve, &(form, pause, least)) in forms.iter_mut().zip(&CLASSIC) {
            let phi = estimate.phi(form, interval, pause, least);
            curve.histogram[((phi / STEP) as usize).min(STEPS)] += 1;
            if n % (beats / samples) == 0 {
                for (step, wait) in curve.waits.iter_mut().enumerate() {
                    let threshold = (step + 1) as f64 * STEP;
                    *wait += estimate.wait(form, threshold, pause, least) / samples as f64;
                }
            }
        }
    });
    Compared { loss, beats, forms }
}

fn name(form: PhiForm) -> &'static str {
    match form {
        PhiForm::LossAware => "loss-aware",
        PhiForm::Normal => "normal",
        PhiForm::Akka => "Akka + 3 s",
        PhiForm::Exponential => "exponential",
    }
}

/// The step of threshold 8, which Akka and Cassandra ship.
const AT_8: usize = 32;

fn classic_rows(compared: &Compared, table: &mut Table) {
    let Some((_, published)) = PUBLISHED.iter().find(|(loss, _)| *loss == compared.loss) else {
        return;
    };
    let percent = compared.loss * 1e2;
    for (curve, &(mistakes, wait)) in compared.forms[1..].iter().zip(published) {
        let per_million = curve.rate(AT_8) * 1e6;
        let se = (curve.rate(AT_8) / compared.beats as f64).sqrt() * 1e6;
        // One estimate serves a thousand arrivals, so counts scatter more than independent ones.
        table.rows.push(Row {
            what: format!("loss {percent:.0} %, {} at 8: mistakes per million", name(curve.form)),
            paper: Some(mistakes),
            ours: per_million,
            se,
            bar: Bar::Near { of: mistakes, tolerance: 0.1 * mistakes + 10.0 + 4.0 * se },
        });
        table.rows.push(Row {
            what: format!("loss {percent:.0} %, {} at 8: detection time in s", name(curve.form)),
            paper: Some(wait).filter(|wait| wait.is_finite()),
            ours: curve.waits[AT_8 - 1],
            se: 0.0,
            bar: match wait.is_finite() {
                true => Bar::Near { of: wait, tolerance: 0.04 * wait },
                false => Bar::None,
            },
        });
    }
}

fn detection_rows(compared: &[Compared], table: &mut Table) {
    for forms in compared {
        table.rows.push(Row {
            what: format!("loss {:.0} %, loss-aware at 8: detection time in s", forms.loss * 1e2),
            paper: None,
            ours: forms.forms[0].waits[AT_8 - 1],
            se: 0.0,
            bar: Bar::None,
        });
        let normal = &forms.forms[1];
        if forms.loss > 0.0 {
            table.rows.push(Row {
                what: format!(
                    "loss {:.0} %, normal at 8: times its promised 10^-8",
                    forms.loss * 1e2
                ),
                paper: Some(1.0),
                ours: normal.rate(AT_8) * 1e8,
                se: 0.0,
                // The promise is broken a hundred thousand times over.
                bar: Bar::AtLeast(1e5),
            });
        }
    }
}

/// PAPERS 4, "Numerics": Akka's approximation beside the exact phi, and exact quantiles.
fn numeric_rows(table: &mut Table) {
    let published = [
        (2.0, 1.643, 1.643, 0.001),
        (4.0, 4.74, 4.50, 0.01),
        (6.0, 10.8, 9.0, 0.1),
        (8.0, 21.2, 15.2, 0.1),
        (10.0, 37.6, 23.1, 0.1),
        (20.0, 259.0, 88.6, 1.0),
    ];
    let mut row = |what: String, of: f64, ours: f64, tolerance: f64| {
        let bar = Bar::Near { of, tolerance };
        table.rows.push(Row { what, paper: Some(of), ours, se: 0.0, bar });
    };
    for (y, logistic, exact, unit) in published {
        row(format!("phi at {y} deviations, Akka"), logistic, akka(y, 0.0, 1.0), unit * 0.51);
        row(format!("phi at {y} deviations, exact"), exact, normal(y), unit * 0.51);
    }
    let quantiles = [(1.0, 1.282), (3.0, 3.090), (8.0, 5.612), (12.0, 7.034), (16.0, 8.222)];
    for (phi, z) in quantiles {
        let wait = Estimate::new(1.0, 1.0, 0.5).wait(PhiForm::Normal, phi, 0.0, 0.0) - 1.0;
        row(format!("deviations at phi {phi}"), z, wait, 0.0015);
    }
}

// Charts (row R8).

fn charts(compared: &[Compared]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for forms in compared.iter().filter(|c| [0.0, 0.05, 0.3].contains(&c.loss)) {
        let percent = format!("{:.0}", forms.loss * 1e2);
        let thresholds = || (1..=STEPS).map(|step| step as f64 * STEP);
        let promise = thresholds().map(|phi| (phi, libm::pow(10.0, -phi)));
        let seen = promise.filter(|(_, rate)| rate * forms.beats as f64 > 0.5).collect();
        let mut rates = vec![Series::new("10^-phi, as promised", Style::Dashed, seen)];
        let mut waits = Vec::new();
        for curve in &forms.forms {
            let rate = |(at, phi): (usize, f64)| (phi, curve.rate(at + 1));
            let points = thresholds().enumerate().map(rate).collect();
            rates.push(Series::new(name(curve.form), Style::Line, points));
            let points = thresholds().zip(curve.waits.iter().copied()).collect();
            waits.push(Series::new(name(curve.form), Style::Line, points));
        }
        charts.push(Chart {
            name: format!("phi-mistakes-{percent}"),
            title: format!("Mistakes per heartbeat at {percent} % loss"),
            x: Axis::linear("threshold of phi"),
            y: Axis::logarithmic("mistakes per heartbeat that arrived"),
            series: rates,
        });
        charts.push(Chart {
            name: format!("phi-detection-{percent}"),
            title: format!("Detection time at {percent} % loss"),
            x: Axis::linear("threshold of phi"),
            y: Axis::logarithmic("seconds from the last heartbeat"),
            series: waits,
        });
    }
    charts
}
