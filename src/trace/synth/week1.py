"""Computes the tables of week1_tables.rs from the first 19,431 rows of BurstGPT_1.csv:

    python3 src/trace/synth/week1.py BurstGPT_first7days.csv > src/trace/synth/week1_tables.rs
    rustfmt src/trace/synth/week1_tables.rs

Every number is an aggregate; ends of quantile functions are cut at the 0.1 % and 99.9 % quantiles.
"""
import csv
import math
import sys

DAY_PARTS = [0, 8, 12, 16, 20]
PROMPT = [0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999]
OUTPUT = [0.001, 0.01, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95, 0.99, 0.999]
API = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
GROUPS = 8


def quantile(values, p):
    at = p * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


def knots(values, places):
    values = sorted(values)
    found = [(p, max(1.0, quantile(values, p))) for p in places]
    return [(0.0, found[0][1])] + found + [(1.0, found[-1][1])]


def at(table, p):
    for (p0, x0), (p1, x1) in zip(table, table[1:]):
        if p <= p1:
            return math.exp(math.log(x0) + (math.log(x1) - math.log(x0)) * (p - p0) / (p1 - p0))
    return table[-1][1]


def exponent(mean_at, wanted):
    low, high = 0.2, 5.0
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if mean_at(middle) > wanted else (low, middle)
    return round(middle, 3)


def main():
    parts = [[] for _ in range(35)]
    hours = [0] * 168
    for row in csv.DictReader(open(sys.argv[1], newline="")):
        t = int(row["Timestamp"])
        hour = t // 3600
        part = sum(hour % 24 >= start for start in DAY_PARTS) - 1
        hours[hour] += 1
        parts[hour // 24 * 5 + part].append((
            int(row["Request tokens"]), int(row["Response tokens"]),
            row["Log Type"] != "Conversation log", row["Model"] == "GPT-4"))
    rows = [row for part in parts for row in part]
    talks = sorted((p, o) for p, o, api, _ in rows if o > 0 and not api)
    prompts = knots([p for p, _ in talks], PROMPT)
    n = len(talks)
    outputs = [knots([o for _, o in talks[g * n // GROUPS:(g + 1) * n // GROUPS]], OUTPUT)
               for g in range(GROUPS)]
    us = [(i + 0.5) / 100 for i in range(100)]
    table = []
    for part in parts:
        kept = [(p, o) for p, o, api, _ in part if o > 0 and not api]
        prompt_mean = sum(p for p, _ in kept) / len(kept)
        output_mean = sum(o for _, o in kept) / len(kept)
        a = exponent(lambda a: sum(at(prompts, u ** a) for u in us) / len(us), prompt_mean)
        weight = [0] * GROUPS
        for u in us:
            weight[min(int(u ** a * GROUPS), GROUPS - 1)] += 1 / len(us)
        b = exponent(lambda b: sum(w * at(table_, u ** b) for w, table_ in zip(weight, outputs)
                                   for u in us) / len(us), output_mean)
        failed = sum(o == 0 for _, o, _, _ in part) / len(part)
        api = sum(api for _, _, api, _ in part) / len(part)
        table.append((round(failed, 4), round(api, 4), a, b))

    def text(values):
        return ", ".join("(%s, %.1f)" % pair for pair in values)

    apis = [(p, o) for p, o, api, _ in rows if o > 0 and api]
    gpt4 = [g for _, _, api, g in rows if not api]
    print("//! Computed by week1.py beside this file; do not edit.\n\nuse super::burstgpt::Knots;\n")
    print("/// Requests in each hour of the seven days.")
    print("pub(super) const HOURS: [u16; 168] = %s;\n" % hours)
    print("/// Failed share, share of API calls, and the exponents that bring the mean prompt and output to the")
    print("/// part's: five parts a day, from 0, 8, 12, 16 and 20 h.")
    print("pub(super) const PARTS: [(f64, f64, f64, f64); 35] = [%s];\n" % ", ".join(map(str, table)))
    print("/// Prompts of conversations.")
    print("pub(super) const PROMPT: Knots<%d> = [%s];\n" % (len(prompts), text(prompts)))
    print("/// Outputs of conversations, for each eighth of the prompts.")
    print("pub(super) const OUTPUT: [Knots<%d>; %d] = [%s];\n" % (
        len(outputs[0]), GROUPS, ", ".join("[%s]" % text(o) for o in outputs)))
    for i, name in enumerate(("PROMPT", "OUTPUT")):
        values = knots([row[i] for row in apis], API)
        print("pub(super) const API_%s: Knots<%d> = [%s];\n" % (name, len(values), text(values)))
    print("/// GPT-4 among conversations.")
    print("pub(super) const GPT4: f64 = %.4f;" % (sum(gpt4) / len(gpt4)))


main()
