//! What is wrong in the published studies, as an index of docs/ERRATA.md: which numbers concern
//! which study, file or figure.

/// One item of docs/ERRATA.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erratum {
    pub number: u8,
    /// Its heading there.
    pub title: &'static str,
}

impl Erratum {
    /// Where to read it, from the root of the repository.
    pub fn link(&self) -> String {
        format!("docs/ERRATA.md#{}", self.number)
    }
}

/// Every item, in order.
pub static ERRATA: [Erratum; 29] = [
    of(1, "Three latency models, none of them measured"),
    of(2, "Prompt tokens are left out of the printed formula"),
    of(3, "TBT is not a time between tokens"),
    of(4, "Failed rows are served and count as promises kept"),
    of(5, "The predictor does not look at outputs"),
    of(6, "\"Numerical limits at 32 and more GPUs\" is an overflow"),
    of(7, "157 configurations are not the grid"),
    of(8, "Throughput tables show the offered load"),
    of(
        9,
        "\"1K to 1M requests\" is also a sweep of the arrival rate",
    ),
    of(10, "The two-step report contradicts its own table"),
    of(11, "The violations of `three-step` are end-to-end latency"),
    of(
        12,
        "Small batches and the gain from a second bin are not what they seem",
    ),
    of(13, "A mean utilisation of 12.4 % hides an uneven fleet"),
    of(14, "Multi-bin does not win at all scales"),
    of(15, "P99 is queueing in bursts, not slow requests"),
    of(16, "Steps that do not fit together"),
    of(17, "Constants of another model and another card"),
    of(18, "The algorithms differ from the papers they cite"),
    of(19, "Another report of the same study has another SLA"),
    of(
        20,
        "In overload the latency measures the length of the trace",
    ),
    of(21, "The time to first token is the whole latency"),
    of(22, "The predicted maximum is more than the card can do"),
    of(23, "Users are not concurrent requests"),
    of(24, "Power and efficiency"),
    of(25, "Version and output length"),
    of(
        26,
        "The figures were written by hand and do not fit each other",
    ),
    of(27, "The contract is not met"),
    of(28, "P95 and P99 cannot differ"),
    of(29, "KV cache and memory"),
];

const fn of(number: u8, title: &'static str) -> Erratum {
    Erratum { number, title }
}

/// Study, beginning of the name of a file, of a drawing or of a figure in `published.csv` (empty: all
/// of them), numbers.
static CONCERNS: [(&str, &str, &[u8]); 58] = [
    ("stress-v2", "", &[1, 4, 17, 18]),
    ("stress-v2", "results_v2", &[2, 3, 5, 9, 20]),
    ("stress-v2", "step1_", &[3, 5, 9, 20]),
    ("stress-v2", "step2_report", &[2, 3, 5, 19, 20]),
    ("stress-v2", "step2_comparison", &[3, 5, 9, 20]),
    ("stress-v2", "tbt_comparison", &[3]),
    ("two-step", "", &[1, 4, 17, 18]),
    ("two-step", "step1_all_results", &[5, 6, 7, 8, 9]),
    ("two-step", "step1_summary", &[6, 7, 8, 10]),
    ("two-step", "step1_scaling", &[6, 8, 9, 10]),
    ("two-step", "step2_", &[8, 9, 10, 20]),
    ("two-step", "gpu_scaling", &[6, 7, 9, 10]),
    ("two-step", "gpu_efficiency", &[8]),
    ("two-step", "latency_heatmap", &[6, 7, 10]),
    ("two-step", "throughput_heatmap", &[6, 7, 8]),
    ("two-step", "bin_effect", &[5, 6, 10]),
    ("two-step", "two_step_report", &[3, 5, 6, 7, 8, 9, 10, 20]),
    ("three-step", "", &[1, 4, 11, 17, 18]),
    (
        "three-step",
        "three_step_report",
        &[5, 8, 9, 12, 13, 14, 15, 16],
    ),
    (
        "three-step",
        "comprehensive_stress_results",
        &[5, 8, 9, 12, 13, 15, 16],
    ),
    ("three-step", "request_scaling", &[9, 14, 20]),
    ("three-step", "gpu_scaling", &[8, 13, 16]),
    ("three-step", "scaling_efficiency", &[8, 16]),
    ("three-step", "scheduler_comparison", &[14, 20]),
    ("three-step", "throughput_latency", &[8, 14]),
    ("three-step", "batch_size", &[12]),
    ("saturation", "", &[21, 22, 23]),
    ("saturation", "saturation_levels", &[24, 25]),
    ("saturation", "saturation_report", &[24, 25]),
    ("contract", "", &[26, 27]),
    ("contract", "contract_report", &[28, 29]),
    ("contract", "contract_margins", &[28]),
    // Figures of published.csv. What was run on the first 400 rows is the program of these studies.
    ("head-400", "", &[1, 4, 17, 18]),
    ("head-400", "token_violations", &[3]),
    ("head-400", "avg_tbt_ms", &[3]),
    ("head-400", "p95_tbt_ms", &[3]),
    ("head-400", "max_tbt_ms", &[3]),
    ("stress-v2", "token_violations", &[3]),
    ("stress-v2", "avg_tbt_ms", &[3]),
    ("stress-v2", "p95_tbt_ms", &[3]),
    ("stress-v2", "p99_tbt_ms", &[3]),
    ("stress-v2", "max_tbt_ms", &[3]),
    ("stress-v2", "avg_latency_s", &[9, 20]),
    ("stress-v2", "p95_latency_s", &[9, 20]),
    ("stress-v2", "offered_requests_per_s", &[9]),
    ("two-step", "p95_latency_s", &[6, 7, 10]),
    ("two-step", "token_violations_percent", &[3, 10]),
    ("two-step", "tokens_per_s", &[8]),
    ("two-step", "offered_tokens_per_s", &[8, 9]),
    ("three-step", "avg_batch", &[12]),
    ("three-step", "max_batch", &[12]),
    ("three-step", "gpu_utilization_", &[13]),
    ("three-step", "avg_latency_s", &[14, 20]),
    ("three-step", "avg_queueing_s", &[15]),
    ("three-step", "p99_latency_s", &[15]),
    ("three-step", "requests_per_s", &[8, 14]),
    ("three-step", "tokens_per_s", &[8]),
    ("three-step", "capacity_qps_under_sla", &[16]),
];

/// The items that concern a file, drawing or published figure of a study, or the study as a whole
/// where `name` is empty, in the order of their numbers.
pub fn concerning(study: &str, name: &str) -> Vec<Erratum> {
    let numbers: Vec<u8> = CONCERNS
        .iter()
        .filter(|(s, beginning, _)| *s == study && name.starts_with(beginning))
        .flat_map(|(_, _, numbers)| numbers.iter().copied())
        .collect();
    ERRATA
        .iter()
        .filter(|erratum| numbers.contains(&erratum.number))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ERRATA.md");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_index_and_the_text_have_the_same_items() {
        let text = text();
        let headings: Vec<&str> = text
            .lines()
            .filter_map(|l| l.strip_prefix("### "))
            .collect();
        let index: Vec<String> = ERRATA
            .iter()
            .map(|e| format!("{}. {}", e.number, e.title))
            .collect();
        assert_eq!(headings, index);
        assert_eq!(
            ERRATA.map(|e| e.number).to_vec(),
            (1..=29).collect::<Vec<u8>>()
        );
    }

    #[test]
    fn every_link_leads_to_its_heading() {
        let text = text();
        for erratum in ERRATA {
            let anchor = erratum.link().replace("docs/ERRATA.md#", "");
            let place = format!(
                "<a id=\"{anchor}\"></a>\n\n### {anchor}. {}\n",
                erratum.title
            );
            assert_eq!(text.matches(&place).count(), 1, "{place}");
        }
    }

    #[test]
    fn every_item_has_a_command() {
        for item in text().split("\n### ").skip(1) {
            assert!(item.contains("```sh\n"), "{}", item.lines().next().unwrap());
        }
    }

    #[test]
    fn every_item_concerns_something() {
        for (study, name, numbers) in CONCERNS {
            for number in numbers {
                assert!((1..=29).contains(number), "{study} {name}");
            }
            let listed = concerning(study, name);
            assert!(listed.is_sorted_by_key(|e| e.number));
            assert!(
                numbers
                    .iter()
                    .all(|n| listed.iter().any(|e| e.number == *n))
            );
        }
        for erratum in ERRATA {
            let listed = CONCERNS.iter().any(|(_, _, n)| n.contains(&erratum.number));
            assert!(listed, "{erratum:?}");
        }
    }

    /// A misspelt figure would never be asked for.
    #[test]
    fn every_published_figure_with_an_item_is_in_the_table() {
        let values = crate::published::published_values::built_in().unwrap();
        let of_figures = CONCERNS
            .iter()
            .skip_while(|(study, _, _)| *study != "head-400");
        for (study, beginning, _) in of_figures {
            let found = values
                .iter()
                .any(|v| v.study == *study && v.figure.name().starts_with(beginning));
            assert!(found, "{study} {beginning}");
        }
    }

    #[test]
    fn a_file_has_the_items_of_its_study_too() {
        let numbers = |study, name| {
            concerning(study, name)
                .iter()
                .map(|e| e.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            numbers("stress-v2", "tbt_comparison.svg"),
            [1, 3, 4, 17, 18]
        );
        assert_eq!(numbers("contract", ""), [26, 27]);
        assert!(numbers("capacity", "anything").is_empty());
    }
}
