//! The report: every sentence from the numbers.

use super::decode::DecodeModel;
use super::multi_bin::UniformTimes;
use super::published::{
    ABSTRACT_CAPACITY, ABSTRACT_THROUGHPUT, Capacity, DECODE_READINGS, GAIN_TRUE_LENGTHS,
    MULTI_BIN, TABLE_I, TABLE_II, THRESHOLD,
};
use super::{EXPONENTIAL, ExponentialRow, GAPS, Paper, Row, cuts, full_batch_throughput};
use crate::words::{aligned, change, paragraph, percent_to, rounded, rule, thousands};

pub(super) fn text(paper: &Paper, rows: &[Row<'_>], exponential: &[ExponentialRow<'_>]) -> String {
    let mut text = rule('=');
    text += "TWO PAPERS ON BATCHING: CLOSED FORMS, SIMULATION, STATED RESULTS\n";
    text += &rule('=');
    text += "\n1. Multi-bin batching (Guldogan, Kunde, Lee, Pedarsani; arXiv 2412.04504)\n\n";
    text += &setting(paper, rows);
    for &batch in &paper.batch_sizes {
        let of_batch: Vec<&Row<'_>> = rows.iter().filter(|r| r.point.batch == batch).collect();
        text += &bins(paper, batch, &of_batch);
        text += &errors(paper, batch, &of_batch);
        text += &bins_needed(batch, &paper.uniform(batch));
    }
    text += &exponential_times(exponential);
    text += &measured();
    text += &slips();
    text += "\n2. Dynamic batching (Pang, Li, Wang; arXiv 2503.05248)\n\n";
    text += &decode();
    text += &stated();
    text
}

fn setting(paper: &Paper, rows: &[Row<'_>]) -> String {
    let error = rows
        .iter()
        .map(|row| {
            paper.uniform(row.point.batch).standard_error(
                row.point.bins,
                row.point.error,
                paper.requests,
            )
        })
        .fold(0.0, f64::max);
    let idle = rows
        .iter()
        .map(|row| 1.0 - row.outcome.published().gpu_utilization_mean)
        .fold(0.0, f64::max);
    paragraph(&format!(
        "One server, batches of exactly B requests from one bin, a batch takes as long as its longest \
         member. Service times are uniform on [{}, {}] s, arrivals ten times what the server can \
         serve; the server is idle for at most {} of a run. Each run has {} requests; from that \
         finite number the standard error of the simulated throughput is at most {}.",
        paper.shortest_s,
        paper.longest_s,
        percent_to(idle, 2),
        thousands(paper.requests.into()),
        percent_to(error, 2),
    )) + &paragraph(
        "Simulated throughput is B over the mean service time of a batch, weighted by the requests \
         in it (proposition 4.1). The table multi_bin_throughput.csv also has requests over the \
         makespan, which the short last batches of the bins make smaller.",
    )
}

fn bins(paper: &Paper, batch: u32, rows: &[&Row<'_>]) -> String {
    let theory = paper.uniform(batch);
    let exact: Vec<&&Row<'_>> = rows
        .iter()
        .filter(|row| row.point.error == 0.0 && paper.bin_counts.contains(&row.point.bins))
        .collect();
    let cells: Vec<Vec<String>> = exact
        .iter()
        .map(|row| {
            vec![
                row.point.bins.to_string(),
                format!("{:.4}", row.theory),
                format!("{:.4}", row.simulated()),
                change(row.difference(), 2),
                format!("{:.1} %", 1e2 * row.theory / theory.capacity()),
            ]
        })
        .collect();
    let head = [
        "bins",
        "theorem 4.2",
        "simulated",
        "difference",
        "of capacity",
    ];
    let mut text = format!(
        "\nB = {batch}: throughput, requests/s\n\n{}\n",
        aligned(&head, &cells)
    );
    let largest = exact
        .iter()
        .map(|row| row.difference().abs())
        .fold(0.0, f64::max);
    let mut sentence = format!(
        "Capacity B / E[l] is {:.4} requests/s: no number of bins exceeds it. Simulation and theorem \
         differ by at most {}.",
        theory.capacity(),
        percent_to(largest, 2)
    );
    let few = exact.iter().min_by_key(|row| row.point.bins);
    let many = exact.iter().max_by_key(|row| row.point.bins);
    if let (Some(few), Some(many)) = (few, many)
        && few.point.bins < many.point.bins
    {
        sentence += &format!(
            " From {} to {} bins the simulated throughput changes by {:+.1} %.",
            few.point.bins,
            many.point.bins,
            1e2 * (many.simulated() / few.simulated() - 1.0)
        );
    }
    text += &paragraph(&sentence);
    text
}

fn errors(paper: &Paper, batch: u32, rows: &[&Row<'_>]) -> String {
    if paper.error_bin_counts.is_empty() || paper.bin_errors.is_empty() {
        return String::new();
    }
    let mut head = vec!["p_e".to_owned()];
    for bins in &paper.error_bin_counts {
        head.push(format!("{bins} bins"));
        head.push("simulated".to_owned());
    }
    let find = |bins: u32, error: f64| {
        rows.iter()
            .find(|row| row.point.bins == bins && row.point.error == error)
    };
    let mut largest = 0.0f64;
    let mut cells = Vec::new();
    for &error in &paper.bin_errors {
        let mut line = vec![error.to_string()];
        for &bins in &paper.error_bin_counts {
            // Every pair has been run.
            if let Some(row) = find(bins, error) {
                largest = largest.max(row.difference().abs());
                line.push(format!("{:.4}", row.theory));
                line.push(format!("{:.4}", row.simulated()));
            }
        }
        cells.push(line);
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut text = format!(
        "\nB = {batch}: throughput with prediction errors, requests/s\n\n{}\n",
        aligned(&head, &cells)
    );
    let mut sentence = format!(
        "A request goes one bin too low with probability p_e and one too high with the same \
         probability. The theory is the expectation of the longest of B draws from the three bins; \
         the paper states the model without this closed form. Largest difference: {}.",
        percent_to(largest, 2)
    );
    let one_bin = paper.uniform(batch).throughput(1.0);
    let smallest = paper
        .bin_errors
        .iter()
        .copied()
        .filter(|&p| p > 0.0)
        .fold(f64::INFINITY, f64::min);
    for &bins in &paper.error_bin_counts {
        if let (Some(exact), Some(wrong)) = (find(bins, 0.0), find(bins, smallest)) {
            let gain = exact.simulated() - one_bin;
            if gain > 0.0 {
                sentence += &format!(
                    " With {bins} bins, p_e = {smallest} costs {:.0} % of the gain over one bin.",
                    1e2 * (exact.simulated() - wrong.simulated()) / gain
                );
            }
        }
    }
    text += &paragraph(&sentence);
    text
}

fn bins_needed(batch: u32, theory: &UniformTimes) -> String {
    let needed: Vec<String> = GAPS
        .iter()
        .filter_map(|&gap| Some(format!("{} for {gap}", theory.bins_within(gap)?)))
        .collect();
    format!(
        "\n{}",
        paragraph(&format!(
            "B = {batch}: bins needed to come within a gap of the capacity, requests/s (theorem 4.3): {}.",
            needed.join(", ")
        ))
    )
}

fn exponential_times(rows: &[ExponentialRow<'_>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let bound = EXPONENTIAL.throughput_bound(row.bins);
            let simulated = full_batch_throughput(row.outcome);
            vec![
                row.bins.to_string(),
                cuts(row.bins),
                format!("{bound:.3}"),
                format!("{simulated:.3}"),
                format!("{:.3}", simulated / bound),
            ]
        })
        .collect();
    let head = ["bins", "cuts, s", "bound", "simulated", "ratio"];
    let below = rows
        .iter()
        .filter(|row| full_batch_throughput(row.outcome) < EXPONENTIAL.throughput_bound(row.bins))
        .count();
    format!(
        "\nExponential service times of mean {} s, B = {} (appendix A.4): throughput, requests/s\n\n{}\n{}",
        EXPONENTIAL.mean_s,
        EXPONENTIAL.batch,
        aligned(&head, &cells),
        paragraph(&format!(
            "The cuts minimise an upper bound of the mean batch time and are not of equal mass; \
             throughput should be at least the bound's. {below} of {} runs {} below it; with one \
             bin the bound is the exact value, so that run lies on either side of it by chance.",
            rows.len(),
            if below == 1 { "is" } else { "are" },
        ))
    )
}

fn measured() -> String {
    let thresholds: Vec<_> = MULTI_BIN.iter().filter(|m| m.what == THRESHOLD).collect();
    let cells: Vec<Vec<String>> = thresholds
        .iter()
        .map(|m| vec![m.bins.to_string(), format!("{:.2}", m.stated)])
        .collect();
    let mut text = format!(
        "\nStated by the paper, not simulated here: Phi-3.5-mini on A100, B = 8, 8 servers, requests/s\n\n{}\n",
        aligned(&["bins", "stated"], &cells)
    );
    let mut sentence = String::new();
    if let (Some(first), Some(last)) = (thresholds.first(), thresholds.last()) {
        sentence = format!(
            "That is {:+.1} % from {} to {} bins. The paper gives 0.0366 s a token and names GSM8K, but \
             the lengths that were served are not published, so no run here can repeat it. ",
            1e2 * (last.stated / first.stated - 1.0),
            first.bins,
            last.bins
        );
    }
    for m in MULTI_BIN.iter().filter(|m| m.what != THRESHOLD) {
        sentence += &format!("{}, {} bins: {} {}. ", m.what, m.bins, m.stated, m.unit);
    }
    sentence +=
        &format!("With the true lengths that last gain is stated as {GAIN_TRUE_LENGTHS} %.");
    text += &paragraph(&sentence);
    text
}

fn slips() -> String {
    let example = UniformTimes {
        batch: 128,
        low_s: 1.0,
        high_s: 20.0,
    };
    format!(
        "\nSlips in the paper\n\n{}{}",
        paragraph(
            "Equations (8), (10) and (11) have l_(i-1) and l_i the wrong way round; equation (17) has \
             them right."
        ),
        paragraph(&format!(
            "The text gives c_max as about 12.3 for B = {} and [{}, {}] s; B / E[l] is {:.3}.",
            example.batch,
            example.low_s,
            example.high_s,
            example.capacity()
        ))
    )
}

fn decode() -> String {
    let model = DecodeModel::PAPER;
    let cells: Vec<Vec<String>> = DECODE_READINGS
        .iter()
        .map(|&(sla_ms, batch, tokens)| {
            let exact = model.batch_at(sla_ms);
            vec![
                format!("{sla_ms}"),
                format!("{exact:.1}"),
                rounded(model.tokens_per_s(exact)),
                format!("{batch}"),
                rounded(tokens),
                format!("{:.1}", model.step_ms(batch)),
                rounded(model.tokens_per_s(batch)),
            ]
        })
        .collect();
    let head = [
        "D_SLA, ms",
        "batch",
        "tokens/s",
        "stated batch",
        "stated tokens/s",
        "its step, ms",
        "its tokens/s",
    ];
    let mut sentence = format!(
        "Decode step tau(b) = {} b + {} ms, throughput Phi(b) = b / tau(b): rising, concave, never \
         above {} tokens/s. The best batch under an SLA is the largest that meets it.",
        model.slope_ms,
        model.base_ms,
        rounded(model.limit_tokens_per_s())
    );
    for (sla_ms, batch, tokens) in DECODE_READINGS {
        let step = model.step_ms(batch);
        let best = model.tokens_per_s(model.batch_at(sla_ms));
        sentence += &format!(
            " The paper's reading at {sla_ms} ms (batch {batch}, {} tokens/s) has a step of {step:.1} \
             ms, which {} the SLA, and its throughput is {:+.1} % off the model's.",
            rounded(tokens),
            if step > sla_ms { "breaks" } else { "meets" },
            1e2 * (tokens / best - 1.0)
        );
    }
    format!("{}\n{}", aligned(&head, &cells), paragraph(&sentence))
}

/// Gain of a row of table II, %.
pub(super) fn capacity_gain(row: &Capacity) -> f64 {
    1e2 * (row.dynamic / row.fixed - 1.0)
}

fn stated() -> String {
    let gains: Vec<String> = TABLE_I.iter().map(|gain| format!("{gain:.1}")).collect();
    let [low, high] = ABSTRACT_THROUGHPUT;
    let outside: Vec<String> = TABLE_I
        .iter()
        .filter(|gain| !(low..high + 0.5).contains(*gain))
        .map(|gain| format!("{gain:.1} %"))
        .collect();
    let cells: Vec<Vec<String>> = (1..)
        .zip(&TABLE_II)
        .map(|(row, stated)| {
            vec![
                format!("{row}"),
                format!("{:.1}", stated.fixed),
                format!("{:.1}", stated.dynamic),
                format!("{:+.1} %", capacity_gain(stated)),
                format!("{:+.1} %", stated.throughput_gain),
            ]
        })
        .collect();
    let head = [
        "row",
        "fixed batch",
        "dynamic",
        "gain",
        "stated throughput gain",
    ];
    let as_abstract = TABLE_II
        .iter()
        .filter(|row| (capacity_gain(row) - ABSTRACT_CAPACITY).abs() < 0.5)
        .count();
    format!(
        "\nStated results: not modelled here\n\n{}\nTable II: capacity at D_SLA = 50 ms, requests/s\n\n{}\n{}",
        paragraph(&format!(
            "Table I, throughput gains of the dynamic over a fixed batch: {} %. The abstract says \
             {low} to {high} %; outside that: {}.",
            gains.join(", "),
            outside.join(", ")
        )),
        aligned(&head, &cells),
        paragraph(&format!(
            "The gain is worked out from the two stated capacities, which are rounded to 0.1. The \
             abstract's {ABSTRACT_CAPACITY} % of capacity is {as_abstract} of the {} rows. These are \
             runs of a continuously batching server, where requests join and leave a running batch. This \
             study simulates closed batches and does not model them; `batchscope run --rule vllm` simulates \
             such a server.",
            TABLE_II.len()
        ))
    )
}
