//! The report room: tables as CSV, figures as SVG and PNG.
use std::{fs, path::Path, time::Instant};

use batchscope::report::{
    self,
    document::{Cell, Content, File, Table},
    figure::{At, Axis, Figure, Form, Mark, Panel, Plot, Scale, Series},
};
use proptest::prelude::*;

// ---- Figures to look at ------------------------------------------------------------------------

fn axis(label: &str, scale: Scale) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
    }
}

fn names(list: &[&str]) -> Scale {
    Scale::Names(list.iter().map(|&name| name.to_owned()).collect())
}

fn series(name: &str, form: Form) -> Series {
    Series {
        name: name.to_owned(),
        form,
    }
}

fn mark(label: &str, at: At) -> Mark {
    Mark {
        label: label.to_owned(),
        at,
    }
}

fn panel(title: &str, x: Axis, y: Axis, series: Vec<Series>, marks: Vec<Mark>) -> Panel {
    Panel {
        title: title.to_owned(),
        x,
        y,
        plot: Plot::Series { series, marks },
    }
}

fn figure(title: &str, caption: &str, columns: usize, panels: Vec<Panel>) -> Figure {
    Figure {
        title: title.to_owned(),
        caption: caption.to_owned(),
        columns,
        panels,
    }
}

const POLICIES: [&str; 4] = ["static FIFO", "dynamic", "multi-bin", "multi-bin dynamic"];

fn bars() -> Figure {
    let values = [
        [0.42, 0.55, 0.61, 0.72],
        [0.38, 0.64, 0.70, 0.81],
        [0.91, 0.93, 0.95, 0.97],
    ];
    let bars = POLICIES.iter().enumerate().map(|(i, policy)| {
        let heights = (0..5).map(|x| (x != 3).then(|| values[x % 3][i] * (1.0 - 0.1 * x as f64)));
        series(policy, Form::Bars(heights.collect()))
    });
    figure(
        "Share of requests served within the SLA",
        "Over five loads the multi-bin dynamic scheduler holds the most promises: 97 % at the lightest \
         load and 43 % at the heaviest. At 75 req/s nothing was measured.",
        1,
        vec![panel(
            "",
            axis(
                "Arrival rate",
                names(&[
                    "1 req/s",
                    "10 req/s",
                    "50 req/s (the published load)",
                    "75 req/s",
                    "100 req/s",
                ]),
            ),
            axis("SLA attainment (share of requests)", Scale::Linear),
            bars.collect(),
            vec![mark("target 90 %", At::Y(0.9))],
        )],
    )
}

fn curves() -> Figure {
    let mut all = Vec::new();
    for (i, policy) in POLICIES.iter().enumerate() {
        let at = |k: i32| {
            let x = f64::from(1 << k);
            [x, 800.0 / x + 2.0 * (i + 1) as f64]
        };
        all.push(series(policy, Form::Line((0..8).map(at).collect())));
        let whisker = |k: i32| {
            let [x, y] = at(k);
            [x, y * 0.8, y * 1.3]
        };
        if i % 2 == 0 {
            all.push(series("", Form::Whiskers((0..8).map(whisker).collect())));
        }
    }
    figure(
        "P95 latency falls with the fleet until the service time is all that is left",
        "From 1 to 128 GPUs. Whiskers are the range of ten seeds.",
        1,
        vec![panel(
            "",
            axis("GPUs", Scale::Log2),
            axis("P95 latency (s)", Scale::Log10),
            all,
            vec![
                mark("SLA 10 s", At::Y(10.0)),
                mark("published 9 s", At::Y(9.0)),
                mark("fleet of the study", At::X(16.0)),
                mark("budget", At::X(20.0)),
            ],
        )],
    )
}

fn heat() -> Figure {
    let values = (0..6)
        .map(|y| {
            (0..8)
                .map(|x| {
                    (x + y != 9).then(|| 0.4 * f64::from(1 << x) * (1.0 + f64::from(y)).powi(2))
                })
                .collect()
        })
        .collect();
    figure(
        "Waiting time over fleet and load",
        "Blank where the run does not end within a day.",
        1,
        vec![Panel {
            title: String::new(),
            x: axis(
                "Arrival rate (req/s)",
                names(&["1", "2", "4", "8", "16", "32", "64", "128"]),
            ),
            y: axis(
                "Scheduler",
                names(&[
                    "static FIFO",
                    "dynamic",
                    "multi-bin, 4 bins of equal mass",
                    "multi-bin dynamic",
                    "oracle lengths",
                    "no bins",
                ]),
            ),
            plot: Plot::Heat {
                values,
                label: "P95 wait (s)".to_owned(),
                best_low: true,
            },
        }],
    )
}

fn bubbles() -> Figure {
    let cloud = |seed: f64| {
        (0..12)
            .map(|i| {
                let i = f64::from(i);
                [
                    2.0 + i * 3.0 + seed,
                    30.0 + 20.0 * (i + seed) / (1.0 + i),
                    1.0 + i * i,
                ]
            })
            .collect()
    };
    figure(
        "Cost against latency; area is the number of GPUs",
        "Each bubble is one fleet.",
        1,
        vec![panel(
            "",
            axis("Cost ($ per million tokens)", Scale::LinearTight),
            axis("P95 latency (s)", Scale::Linear),
            vec![
                series("A100", Form::Bubbles(cloud(0.0))),
                series("H100", Form::Bubbles(cloud(4.0))),
                series(
                    "Pareto front",
                    Form::Curve(vec![[2.0, 30.0], [10.0, 20.0], [20.0, 18.0], [38.0, 16.0]]),
                ),
            ],
            vec![],
        )],
    )
}

fn grid() -> Figure {
    let wave = |k: f64, n: i32| {
        (0..n)
            .map(|i| {
                let x = f64::from(i) * 10.0;
                [x, k * x * (120.0 - x / 12.0).max(0.0)]
            })
            .collect::<Vec<_>>()
    };
    let one = |title: &str, y: Scale| {
        panel(
            title,
            axis("Time (s)", Scale::Linear),
            axis("Queue (requests)", y),
            vec![
                series("static FIFO", Form::Curve(wave(1.0, 130))),
                series(
                    "",
                    Form::Band(
                        wave(1.0, 130)
                            .iter()
                            .map(|p| [p[0], p[1] * 0.8, p[1] * 1.2])
                            .collect(),
                    ),
                ),
                series("multi-bin", Form::Curve(wave(0.6, 130))),
                series("multi-bin dynamic", Form::Curve(wave(0.4, 130))),
            ],
            vec![mark("burst ends", At::X(700.0))],
        )
    };
    let mut bars = panel(
        "Batches formed",
        axis(
            "",
            names(&[
                "Static FIFO, fixed",
                "Dynamic",
                "Multi-bin with oracle",
                "A rather long name of a policy",
                "Extraordinarily-long",
                "Plain",
            ]),
        ),
        axis("Batches", Scale::Linear),
        vec![series(
            "batches",
            Form::Bars(
                [1200.0, 45_000.0, 9_000.0, 3_100.0, 22_000.0, 500.0]
                    .into_iter()
                    .map(Some)
                    .collect(),
            ),
        )],
        vec![],
    );
    bars.title = "Batches formed".to_owned();
    figure(
        "Four panels",
        "The queue over time at two scales, what was left out, and how many batches each policy formed.",
        2,
        vec![
            one("Linear", Scale::Linear),
            one("Logarithmic: zero has no place", Scale::Log10),
            panel(
                "One point",
                axis("Load (req/s)", Scale::Log10),
                axis("Latency (s)", Scale::LinearTight),
                vec![series(
                    "measured",
                    Form::Dots(vec![[3.0, 7.0], [f64::NAN, 1.0]]),
                )],
                vec![],
            ),
            bars,
        ],
    )
}

fn three() -> Figure {
    let one = |title: &str, k: f64| {
        let line = |j: f64| {
            (1..20)
                .map(|i| [f64::from(i) * 50.0, k * j / f64::from(i)])
                .collect()
        };
        panel(
            title,
            axis("Requests per second", Scale::Linear),
            axis("Utilisation", Scale::LinearTight),
            vec![
                series("published", Form::Line(line(1.0))),
                series("honest", Form::Line(line(0.7))),
            ],
            vec![mark("published value", At::Y(k * 0.4))],
        )
    };
    figure(
        "Three columns",
        "",
        3,
        vec![
            one("A100", 1.0),
            one("H100", 1.4),
            one("B200", 1e6),
            one("none", 1e-9),
        ],
    )
}

fn gallery() -> Vec<(&'static str, Figure)> {
    vec![
        ("bars", bars()),
        ("curves", curves()),
        ("heat", heat()),
        ("bubbles", bubbles()),
        ("grid", grid()),
        ("three", three()),
    ]
}

// ---- Pictures ----------------------------------------------------------------------------------

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Width, height and RGB of a PNG.
fn decoded(bytes: &[u8]) -> Result<(u32, u32, Vec<u8>), Box<dyn std::error::Error>> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info()?;
    let size = reader.output_buffer_size().ok_or("too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels)?;
    assert_eq!(frame.color_type, png::ColorType::Rgb);
    Ok((frame.width, frame.height, pixels))
}

/// A number attribute of the SVG's root.
fn root(svg: &str, name: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let (_, rest) = svg
        .split_once(&format!(" {name}=\""))
        .ok_or("no such attribute")?;
    Ok(rest.split('"').next().ok_or("no value")?.parse()?)
}

#[test]
fn a_small_figure_is_drawn_as_ever() -> Tested {
    let small = figure(
        "Latency < limit & \"fine\"",
        "Two of three loads hold the limit.",
        1,
        vec![panel(
            "",
            axis("Load (req/s)", Scale::Log2),
            axis("P95 latency (s)", Scale::Linear),
            vec![
                series(
                    "multi-bin",
                    Form::Line(vec![[1.0, 2.0], [2.0, 3.0], [4.0, 8.0]]),
                ),
                series("", Form::Whiskers(vec![[1.0, 1.5, 2.5], [2.0, 2.0, 4.5]])),
            ],
            vec![mark("limit", At::Y(5.0))],
        )],
    );
    let drawn = report::svg(&small)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/figure.svg");
    if std::env::var_os("BATCHSCOPE_WRITE_GOLDEN").is_some() {
        fs::write(&path, &drawn)?;
    }
    assert_eq!(
        drawn,
        fs::read_to_string(&path)?,
        "see BATCHSCOPE_WRITE_GOLDEN"
    );
    assert!(drawn.contains("<title>Latency &lt; limit &amp; \"fine\"</title>"));
    assert!(drawn.contains("role=\"img\""));
    Ok(())
}

#[test]
fn a_picture_has_the_svgs_size_and_its_colours() -> Tested {
    for (name, figure) in gallery() {
        let svg = report::svg(&figure)?;
        let (width, height, pixels) = decoded(&report::png(&figure, 1)?)?;
        assert_eq!(f64::from(width), root(&svg, "width")?, "{name}");
        assert_eq!(f64::from(height), root(&svg, "height")?, "{name}");
        assert!(width >= 900 && height > 200, "{name}: {width} x {height}");
        let dark = pixels
            .chunks_exact(3)
            .filter(|p| p.iter().all(|c| *c < 96))
            .count();
        let white = pixels.chunks_exact(3).filter(|p| *p == [255; 3]).count();
        assert!(dark > 500, "{name}: {dark} dark dots are less than a title");
        assert!(white > pixels.len() / 12, "{name}: mostly covered");
        let (twice, ..) = decoded(&report::png(&figure, 2)?)?;
        assert_eq!(twice, 2 * width);
    }
    // The colour of the first bar reaches the paper.
    let (.., pixels) = decoded(&report::png(&bars(), 1)?)?;
    let bar = pixels
        .chunks_exact(3)
        .filter(|p| *p == [0x00, 0x9e, 0x73])
        .count();
    assert!(bar > 10_000, "{bar} dots of the green bars");
    Ok(())
}

#[test]
fn a_picture_is_the_same_twice() -> Tested {
    for (_, figure) in gallery() {
        assert_eq!(report::svg(&figure)?, report::svg(&figure)?);
        assert_eq!(report::png(&figure, 1)?, report::png(&figure, 1)?);
    }
    Ok(())
}

#[test]
fn what_has_no_place_is_counted() -> Tested {
    let points = vec![
        [1.0, 1.0],
        [2.0, 0.0],
        [3.0, f64::NAN],
        [f64::INFINITY, 4.0],
        [5.0, 5.0],
    ];
    let one = panel(
        "",
        axis("x", Scale::Linear),
        axis("y", Scale::Log10),
        vec![series("a", Form::Dots(points))],
        vec![mark("zero", At::Y(0.0))],
    );
    let svg = report::svg(&figure("t", "", 1, vec![one]))?;
    assert!(svg.contains("4 values left out"), "{svg}");
    let none = panel(
        "",
        axis("x", Scale::Linear),
        axis("y", Scale::Linear),
        vec![],
        vec![],
    );
    assert!(report::svg(&figure("t", "", 1, vec![none]))?.contains("no data"));
    Ok(())
}

#[test]
fn shapes_that_do_not_match_are_refused() {
    let why = |figure: &Figure| match report::svg(figure) {
        Err(error) => error.to_string(),
        Ok(_) => String::new(),
    };
    let mut wrong = bars();
    wrong.panels[0].x.scale = names(&["one"]);
    assert!(
        why(&wrong).contains("need as many names"),
        "{}",
        why(&wrong)
    );
    let mut wrong = heat();
    wrong.panels[0].y.scale = Scale::Linear;
    assert!(
        why(&wrong).contains("names along both axes"),
        "{}",
        why(&wrong)
    );
    let mut wrong = heat();
    wrong.columns = 0;
    assert!(why(&wrong).contains("columns"), "{}", why(&wrong));
    let scale = report::png(&heat(), 9).map_err(|error| error.code());
    assert_eq!(scale, Err("bad-field"));
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..1000.0,
        1 => any::<f64>(),
        1 => proptest::sample::select(vec![
            0.0, -0.0, 1.0, 1.0, 1e-300, 1e300, -1e300, 1e100, 1e-100, f64::NAN, f64::INFINITY,
            f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e17, 1e17 + 16.0,
        ]),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{0,12}",
        "\\PC{0,60}",
        any::<String>(),
        "[a-z<>&\"'-]{80,200}"
    ]
}

fn any_scale() -> impl Strategy<Value = Scale> {
    prop_oneof![
        Just(Scale::Linear),
        Just(Scale::LinearTight),
        Just(Scale::Log10),
        Just(Scale::Log2),
        proptest::collection::vec(any_text(), 0..40).prop_map(Scale::Names),
    ]
}

fn pairs() -> impl Strategy<Value = Vec<[f64; 2]>> {
    proptest::collection::vec([any_number(), any_number()], 0..8)
}

fn triples() -> impl Strategy<Value = Vec<[f64; 3]>> {
    proptest::collection::vec([any_number(), any_number(), any_number()], 0..8)
}

fn any_form() -> impl Strategy<Value = Form> {
    prop_oneof![
        pairs().prop_map(Form::Line),
        pairs().prop_map(Form::Curve),
        pairs().prop_map(Form::Dots),
        triples().prop_map(Form::Bubbles),
        triples().prop_map(Form::Whiskers),
        triples().prop_map(Form::Band),
        proptest::collection::vec(proptest::option::of(any_number()), 0..40).prop_map(Form::Bars),
    ]
}

prop_compose! {
    /// A panel whose bars and cells fit its names, but for a few.
    fn any_panel()(
        title in any_text(),
        labels in [any_text(), any_text()],
        scales in [any_scale(), any_scale()],
        forms in proptest::collection::vec((any_text(), any_form()), 0..6),
        marks in proptest::collection::vec((any_text(), any::<bool>(), any_number()), 0..5),
        cells in proptest::option::weighted(
            0.2,
            proptest::collection::vec(proptest::option::of(any_number()), 1..60),
        ),
        best_low in any::<bool>(),
        wrong in proptest::bool::weighted(0.05),
    ) -> Panel {
        let [mut x, mut y] = scales;
        let plot = if let Some(cells) = cells {
            let names = |n: usize| Scale::Names((0..n).map(|i| format!("name {i}")).collect());
            let wide = if wrong { 7 } else { cells.len().min(9) };
            let values: Vec<_> = cells.chunks(wide).map(<[_]>::to_vec).filter(|r| r.len() == wide).collect();
            x = names(wide);
            y = names(values.len());
            Plot::Heat { values, label: title.clone(), best_low }
        } else {
            let mut series = Vec::new();
            for (name, mut form) in forms {
                if let (Form::Bars(bars), false) = (&mut form, wrong) {
                    if !matches!(x, Scale::Names(_)) {
                        x = names(&["a", "b", "c"]);
                    }
                    if let Scale::Names(names) = &x {
                        bars.resize(names.len(), Some(1.0));
                    }
                }
                series.push(Series { name, form });
            }
            let mark = |(label, of_x, v)| Mark { label, at: if of_x { At::X(v) } else { At::Y(v) } };
            Plot::Series { series, marks: marks.into_iter().map(mark).collect() }
        };
        let [x_label, y_label] = labels;
        Panel { title, x: Axis { label: x_label, scale: x }, y: Axis { label: y_label, scale: y }, plot }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_figure_is_drawn_or_refused(
        title in any_text(),
        caption in any_text(),
        columns in 0..5_usize,
        panels in proptest::collection::vec(any_panel(), 0..5),
    ) {
        let figure = Figure { title, caption, columns, panels };
        match report::svg(&figure) {
            Ok(svg) => {
                prop_assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
                let forbidden = |c: char| (c < ' ' && c != '\n') || c == '\u{ffff}' || c == '\u{fffe}';
                prop_assert!(!svg.contains(forbidden), "not XML");
                // Every tag is one of ours: what a title says stays text.
                for tag in svg.split('<').skip(1) {
                    let ours = ["svg ", "/svg", "title>", "/title", "desc>", "/desc", "rect ", "text ", "/text",
                        "line ", "polyline ", "polygon ", "circle "];
                    prop_assert!(ours.iter().any(|o| tag.starts_with(o)), "<{tag}");
                }
                let drawn = report::png(&figure, 1);
                prop_assert!(drawn.is_ok(), "{drawn:?}");
            }
            Err(error) => prop_assert_eq!(error.code(), "contradiction"),
        }
    }
}

// ---- Tables ------------------------------------------------------------------------------------

fn table() -> Table {
    let mut table = Table::new(["policy", "GPUs", "P95 (s)", "=note"]);
    table.rows.push(vec![
        "multi-bin, 4 bins".into(),
        8_u64.into(),
        2.0.into(),
        "say \"so\"".into(),
    ]);
    table.rows.push(vec![
        "a|b".into(),
        Cell::Empty,
        0.1.into(),
        "=SUM(A1)".into(),
    ]);
    table.rows.push(vec![
        "-1".into(),
        u64::MAX.into(),
        Cell::NotModelled,
        "two\nlines".into(),
    ]);
    table.rows.push(vec![
        Cell::Number(-3.5),
        Cell::Empty,
        1e300.into(),
        Cell::Number(1.0 / 3.0),
    ]);
    table
}

#[test]
fn a_table_becomes_csv() {
    assert_eq!(
        report::csv(&table()),
        "policy,GPUs,P95 (s),'=note\n\
         \"multi-bin, 4 bins\",8,2,\"say \"\"so\"\"\"\n\
         a|b,,0.1,'=SUM(A1)\n\
         '-1,18446744073709551615,not modelled,\"two\nlines\"\n\
         -3.5,,1e300,0.3333333333333333\n"
    );
    for number in [0.1, 1.0 / 3.0, 1e300, 5e-324, 1e21, 123_456_789.125, -1e-7] {
        let mut one = Table::new(["x"]);
        one.rows.push(vec![number.into()]);
        let text = report::csv(&one);
        assert_eq!(
            text.lines().nth(1).and_then(|t| t.parse().ok()),
            Some(number),
            "{text}"
        );
    }
}

#[test]
fn a_file_becomes_bytes() -> Tested {
    let bytes = |name: &str, content| report::bytes(&File::new(name, content));
    assert_eq!(
        bytes("a.csv", Content::Table(table()))?,
        [("a.csv".to_owned(), report::csv(&table()).into_bytes())]
    );
    assert_eq!(
        bytes("a.md", Content::Text("# A\n".to_owned()))?,
        [("a.md".to_owned(), b"# A\n".to_vec())]
    );
    assert_eq!(
        bytes("a.json", Content::Json(serde_json::json!({"a": [1]})))?,
        [(
            "a.json".to_owned(),
            b"{\n  \"a\": [\n    1\n  ]\n}\n".to_vec()
        )]
    );
    let drawn = bytes("fig", Content::Figure(heat()))?;
    let names: Vec<&str> = drawn.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["fig.svg", "fig.png"]);
    assert!(drawn[0].1.starts_with(b"<svg ") && drawn[1].1.starts_with(b"\x89PNG"));
    Ok(())
}

/// Writes the figures above into the folder that `GALLERY` names, to be looked at.
#[test]
#[ignore = "draws for eyes; set GALLERY to a folder"]
fn draw_a_gallery() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::var("GALLERY")?;
    for (name, figure) in gallery() {
        let begun = Instant::now();
        let svg = report::svg(&figure)?;
        let between = begun.elapsed();
        let png = report::png(&figure, 2)?;
        println!(
            "{name}: svg {} bytes in {:.1} ms, png {} bytes in {:.1} ms",
            svg.len(),
            between.as_secs_f64() * 1e3,
            png.len(),
            (begun.elapsed() - between).as_secs_f64() * 1e3
        );
        fs::write(Path::new(&folder).join(format!("gallery-{name}.svg")), svg)?;
        fs::write(Path::new(&folder).join(format!("gallery-{name}.png")), png)?;
    }
    Ok(())
}
