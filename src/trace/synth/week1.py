"""Computes the tables of week1_tables.rs from the first 19,431 rows of BurstGPT_1.csv:

    python3 src/trace/synth/week1.py BurstGPT_first7days.csv > src/trace/synth/week1_tables.rs
    rustfmt src/trace/synth/week1_tables.rs

Every number is an aggregate; ends of quantile functions are cut at the 0.1 % and 99.9 % quantiles.
"""
import csv
import statistics
import sys

# Hours at which a period of its own lengths begins, and the requests an hour from which one counts as middling
# or busy. The first period has one class, the others three.
PERIODS = [0, 14, 88, 168]
LOADS = [150, 280]
PROMPT = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
OUTPUT = [0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99]
API = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
# Groups of equally many prompts, each with outputs of its own: in the first period and in the second, which serves
# the third as well.
GROUPS = [4, 8]


def quantile(values, p):
    at = p * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


def knots(values, places):
    values = sorted(values)
    return [(p, max(1.0, quantile(values, at)))
            for p, at in zip([0.0] + places + [1.0], [0.001] + places + [0.999])]


def scores(values):
    """Normal scores by rank, equal values having the mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        score = statistics.NormalDist().inv_cdf((start + end) / 2 / len(order))
        for i in order[start:end]:
            found[i] = score
        start = end
    return found


def main():
    hours = [0] * 168
    rows = []
    for row in csv.DictReader(open(sys.argv[1], newline="")):
        hour = int(row["Timestamp"]) // 3600
        hours[hour] += 1
        rows.append((hour, int(row["Request tokens"]), int(row["Response tokens"]),
                     row["Log Type"] != "Conversation log", row["Model"] == "GPT-4"))
    prompts, outputs, classes = [], [], []
    for period, (start, end) in enumerate(zip(PERIODS, PERIODS[1:])):
        here = [row for row in rows if start <= row[0] < end]
        talks = sorted((row for row in here if row[2] > 0 and not row[3]), key=lambda row: row[1:3])
        prompts.append(knots([row[1] for row in talks], PROMPT))
        prompt_scores = scores([row[1] for row in talks])
        output_scores = []
        groups = GROUPS[min(period, 1)]
        for g in range(groups):
            group = [row[2] for row in talks[g * len(talks) // groups:(g + 1) * len(talks) // groups]]
            output_scores += scores(group)
            if period < 2:
                outputs.append(knots(group, OUTPUT))
        for low, high in [(0, 1000)] if period == 0 else zip([0] + LOADS, LOADS + [1000]):
            chosen = [row for row in here if low <= hours[row[0]] < high]
            mine = [i for i, row in enumerate(talks) if low <= hours[row[0]] < high]
            classes.append((
                round(sum(row[2] == 0 for row in chosen) / len(chosen), 4),
                round(sum(row[3] for row in chosen) / len(chosen), 4),
                round(sum(prompt_scores[i] for i in mine) / len(mine) if period else 0.0, 3),
                round(sum(output_scores[i] for i in mine) / len(mine) if period else 0.0, 3)))

    def text(values):
        return ", ".join("(%s, %.1f)" % pair for pair in values)

    def list_of(tables):
        return ", ".join("[%s]" % text(table) for table in tables)

    apis = [row for row in rows if row[2] > 0 and row[3]]
    gpt4 = [row[4] for row in rows if not row[3]]
    print("//! Computed by week1.py beside this file; do not edit.\n\nuse super::burstgpt::Knots;\n")
    print("/// Requests in each hour of the seven days.")
    print("pub(super) const HOURS: [u16; 168] = %s;\n" % hours)
    print("/// The hours at which the second and the third period of lengths begin.")
    print("pub(super) const PERIODS: [usize; 2] = %s;\n" % PERIODS[1:3])
    print("/// Requests an hour from which one is middling, and from which it is busy.")
    print("pub(super) const LOADS: [u16; 2] = %s;\n" % LOADS)
    print("/// Failed share, share of API calls, and the mean normal scores of prompts and outputs of conversations")
    print("/// among those of the period: the first period, then quiet, middling and busy hours of the others.")
    print("pub(super) const CLASSES: [(f64, f64, f64, f64); %d] = [%s];\n" % (
        len(classes), ", ".join(map(str, classes))))
    print("/// Prompts of conversations in each period.")
    print("pub(super) const PROMPT: [Knots<%d>; %d] = [%s];\n" % (
        len(prompts[0]), len(prompts), list_of(prompts)))
    print("/// Outputs of conversations in the first period, for each quarter of its prompts.")
    print("pub(super) const FIRST_OUTPUT: [Knots<%d>; %d] = [%s];\n" % (
        len(outputs[0]), GROUPS[0], list_of(outputs[:GROUPS[0]])))
    print("/// Outputs of conversations in the second period, for each eighth of its prompts.")
    print("pub(super) const OUTPUT: [Knots<%d>; %d] = [%s];\n" % (
        len(outputs[0]), GROUPS[1], list_of(outputs[GROUPS[0]:])))
    for i, name in ((1, "PROMPT"), (2, "OUTPUT")):
        values = knots([row[i] for row in apis], API)
        print("pub(super) const API_%s: Knots<%d> = [%s];\n" % (name, len(values), text(values)))
    print("/// GPT-4 among conversations.")
    print("pub(super) const GPT4: f64 = %.4f;" % (sum(gpt4) / len(gpt4)))


main()
