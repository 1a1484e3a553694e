//! Trace readers: every format, every kind of bad input, and real files where they are at hand.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::PathBuf;

use batchscope::trace::{Format, NO_SESSION, Reading, TimeUnit, Trace, read};
use batchscope::{Error, trace};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

fn text(content: &str) -> Result<Trace, Error> {
    read(content.as_bytes(), "t.csv", None)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// The error's code and sentence.
fn fault(content: impl AsRef<[u8]>) -> (String, String) {
    let e = read(content.as_ref(), "t.csv", None).expect_err("must be refused");
    (e.code().to_owned(), e.to_string())
}

const BURST: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";

#[test]
fn burstgpt_release_1() {
    let t = text(&format!(
        "{BURST}5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,230,1317,API log\n\
         45.5,ChatGPT,0,0,0,API log"
    ))
    .expect("readable");
    assert_eq!(t.arrival, [5.0, 45.0, 45.5]);
    assert_eq!(t.prompt, [472, 1087, 0]);
    assert_eq!(t.output, [18, 230, 0]);
    let model = t.model.as_ref().expect("has models");
    assert_eq!(model.names, ["ChatGPT", "GPT-4"]);
    assert_eq!(model.ids, [0, 1, 0]);
    let log_type = t.log_type.as_ref().expect("has log types");
    assert_eq!(log_type.names, ["Conversation log", "API log"]);
    assert_eq!(log_type.ids, [0, 1, 1]);
    assert_eq!(t.session, None);
    assert_eq!(t.report.format, "burstgpt");
    assert_eq!((t.report.rows, t.report.rows_failed), (3, 1));
    assert_eq!((t.report.rows_sorted, t.report.rows_blank), (0, 0));
}

#[test]
fn burstgpt_release_3_in_any_column_order() {
    let t = text(
        "Log Type,Session ID,Response tokens,Elapsed time,Request tokens,Model,Timestamp\r\n\
         API log,b-7,18,1.5,472,ChatGPT,5.25\r\n\
         API log,,19,1.5,473,ChatGPT,6\r\n\
         API log,a-1,20,1.5,474,ChatGPT,7\r\n\
         API log,b-7,21,1.5,475,ChatGPT,8\r\n",
    )
    .expect("readable");
    assert_eq!(t.session, Some(vec![0, NO_SESSION, 1, 0]));
    assert_eq!(t.prompt, [472, 473, 474, 475]);
    assert_eq!(t.arrival, [5.25, 6.0, 7.0, 8.0]);
}

#[test]
fn azure_2023_and_2024() {
    let t = text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n\
         2023-11-16 18:17:04.0319600,3180,8",
    )
    .expect("readable");
    assert_eq!(t.arrival, [0.0, 0.052]);
    assert_eq!(t.report.format, "azure");
    let t = text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n\
         2024-05-10 00:00:00.017335+00:00,2399,6\n2024-05-11 00:00:00.009930+00:00,1,6\n",
    )
    .expect("readable");
    assert_eq!(t.arrival, [0.0, 0.007405, 86400.0]);
}

#[test]
fn mooncake_with_prefix_blocks() {
    let t = text(
        "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [46, 9]}\n\
         {\"hash_ids\": [], \"timestamp\": 2500, \"input_length\": 1, \"output_length\": 0}\n\
         {\"timestamp\": 3000, \"input_length\": 1025, \"output_length\": 5, \"hash_ids\": [46,5,9]}\n",
    )
    .expect("readable");
    assert_eq!(t.arrival, [0.0, 2.5, 3.0]);
    let prefix = t.prefix.as_ref().expect("has blocks");
    assert_eq!(prefix.tokens_per_block, 512);
    assert_eq!(prefix.offsets, [0, 2, 2, 5]);
    assert_eq!(prefix.blocks, [0, 1, 0, 2, 1]);
    assert_eq!(prefix.of(2), [0, 2, 1]);
    assert_eq!(prefix.of(3), [0u32; 0]);
    assert_eq!(t.report.format, "mooncake");
}

#[test]
fn generic_tables() {
    let t = text("arrival_s,input_tokens,output_tokens\n0.046927,2358,531\n").expect("readable");
    assert_eq!(
        (t.arrival[0], t.prompt[0], t.output[0]),
        (0.046927, 2358, 531)
    );
    assert_eq!(t.report.format, "csv");
    let t = text("Output-Len,time_ms,PROMPT\n1,1500,2\n").expect("readable");
    assert_eq!((t.arrival[0], t.prompt[0], t.output[0]), (1.5, 2, 1));
    let t = text("time,prompt,output\n2024-02-29T23:59:59Z,1,2\n2024-03-01T00:00:01Z,1,2\n")
        .expect("readable");
    assert_eq!(t.arrival, [0.0, 2.0]);
    let t = text(
        "{\"input_toks\": 7, \"output_toks\": 8, \"arrival_time\": 1787267980.0827403, \
         \"extra\": {\"a\": [1]}, \"model\": \"caf\\u00e9\"}\n",
    )
    .expect("readable");
    assert_eq!(t.arrival, [1787267980.0827403]);
    assert_eq!(t.model.expect("has models").names, ["café"]);
    assert_eq!(t.report.format, "jsonl");
}

#[test]
fn the_preferred_of_two_names_counts() {
    let t = text("timestamp,arrival_s,prompt,output\n9,1,2,3\n").expect("readable");
    assert_eq!(t.arrival, [1.0]);
    let t =
        text("{\"timestamp\":9,\"prompt\":2,\"output\":3,\"arrival_s\":1}\n").expect("readable");
    assert_eq!(t.arrival, [1.0]);
    let (code, sentence) = fault("time,prompt,Prompt,output\n1,2,3,4\n");
    assert_eq!(code, "unknown-format");
    assert!(
        sentence.contains("two columns are called \"Prompt\""),
        "{sentence}"
    );
}

#[test]
fn an_explicit_format_overrides_the_guess() {
    let mooncake = "{\"timestamp\": 2000, \"input_length\": 6, \"output_length\": 5}\n";
    let generic = read(mooncake.as_bytes(), "t", Some(Format::Jsonl)).expect("readable");
    assert_eq!(generic.arrival, [2000.0]);
    assert_eq!(text(mooncake).expect("readable").arrival, [2.0]);
    let e = read(BURST.as_bytes(), "t", Some(Format::Azure)).expect_err("no such columns");
    assert_eq!(e.code(), "missing-column");
}

#[test]
fn rows_out_of_order_are_sorted_with_all_their_columns() {
    let t = text(
        "{\"timestamp\": 3000, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [7]}\n\
         {\"timestamp\": 1000, \"input_length\": 513, \"output_length\": 2, \"hash_ids\": [8, 9]}\n\
         {\"timestamp\": 3000, \"input_length\": 3, \"output_length\": 3, \"hash_ids\": []}\n\
         {\"timestamp\": 1000, \"input_length\": 1024, \"output_length\": 4, \"hash_ids\": [7, 9]}\n",
    )
    .expect("readable");
    assert_eq!(t.arrival, [1.0, 1.0, 3.0, 3.0]);
    assert_eq!(t.prompt, [513, 1024, 1, 3]);
    assert_eq!(t.output, [2, 4, 1, 3]);
    assert_eq!(t.report.rows_sorted, 2);
    let prefix = t.prefix.expect("has blocks");
    assert_eq!(prefix.offsets, [0, 2, 4, 5, 5]);
    assert_eq!(prefix.blocks, [0, 1, 2, 1, 2]);
    let t = text("ts,prompt,output,model,log_type,session\n2,1,1,a,x,p\n1,2,2,b,y,q\n")
        .expect("readable");
    assert_eq!(t.model.expect("has models").ids, [1, 0]);
    assert_eq!(t.log_type.expect("has types").ids, [1, 0]);
    assert_eq!(t.session, Some(vec![0, 1]));
    let t = text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:05,1,1\n2023-11-16 18:17:03,2,2\n",
    )
    .expect("readable");
    assert_eq!((t.arrival, t.prompt), (vec![0.0, 2.0], vec![2, 1]));
}

#[test]
fn marks_line_ends_quotes_and_blank_rows() {
    let t = text(
        "\u{feff}\r\n\"arrival_s\", \"note, or so\",prompt,output\r\n\r\n1,\"a \"\"b\"\", c\",2,3\r\n\
         ,,,\r\n 2 ,\"two\r\nlines\", 4 ,\"5\"\r\n   \r\n3,,6,7",
    )
    .expect("readable");
    assert_eq!(t.arrival, [1.0, 2.0, 3.0]);
    assert_eq!(t.prompt, [2, 4, 6]);
    assert_eq!(t.output, [3, 5, 7]);
    assert_eq!(t.report.rows_blank, 4);
    assert_eq!(t.report.rows, 3);
}

#[test]
fn rows_are_counted_as_an_editor_counts_them() {
    let (_, sentence) = fault("\n\ntime,prompt,output,note\n1,2,3,\"x\ny\"\n\n2,many,3,z\n");
    assert_eq!(
        sentence,
        "t.csv, row 7, column \"prompt\": \"many\" is not a whole number from 0 to 100000000"
    );
    let (code, sentence) =
        fault("{\"ts\":1,\"prompt\":1,\"output\":2}\n\n{\"ts\":1,\"prompt\":1}\n");
    assert_eq!(code, "bad-row");
    assert!(
        sentence.starts_with("t.csv, row 3: no field for the output"),
        "{sentence}"
    );
}

#[test]
fn bad_cells() {
    for (cell, part) in [
        ("x", "\"x\" is not"),
        ("", "\"\" is not"),
        ("-5", "\"-5\" is not"),
        ("1.5", "\"1.5\" is not"),
        ("100000001", "is not a whole number from 0 to 100000000"),
        ("nan", "is not"),
        ("1e99", "is not"),
        ("1\u{0}", "is not"),
        (
            "123456789012345678901234567890123456789012345678901234567890",
            "…",
        ),
    ] {
        let (code, sentence) = fault(format!("{BURST}5,a,{cell},1,2,b\n"));
        assert_eq!(code, "bad-cell", "{cell}");
        assert!(
            sentence.starts_with("t.csv, row 2, column \"Request tokens\": "),
            "{sentence}"
        );
        assert!(sentence.contains(part), "{sentence}");
    }
    for cell in [
        "x",
        "",
        "-1",
        "-0.001",
        "nan",
        "inf",
        "1e13",
        "2023-11-16 18:17:03",
    ] {
        let (code, sentence) = fault(format!("{BURST}{cell},a,1,1,2,b\n"));
        assert_eq!(code, "bad-cell", "{cell}");
        assert!(
            sentence.contains("row 2, column \"Timestamp\""),
            "{sentence}"
        );
    }
    for value in [
        "\"seven\"",
        "-1",
        "1.5",
        "null",
        "[1]",
        "{}",
        "true",
        "1e10",
    ] {
        let (code, _) = fault(format!("{{\"ts\":1,\"prompt\":{value},\"output\":2}}\n"));
        assert_eq!(code, "bad-cell", "{value}");
    }
    for value in [
        "7",
        "[-1]",
        "[1.5]",
        "[[1]]",
        "[\"a\"]",
        "[99999999999999999999]",
    ] {
        let (code, _) = fault(format!(
            "{{\"timestamp\":1,\"input_length\":1,\"output_length\":2,\"hash_ids\":{value}}}"
        ));
        assert_eq!(code, "bad-cell", "{value}");
    }
    let (code, _) = fault(b"Timestamp,Model,Request tokens,Response tokens\n1,\xff\xfe,1,1\n");
    assert_eq!(code, "bad-cell");
}

#[test]
fn bad_rows() {
    for (row, part) in [
        ("5,a,1,1,2", "5 fields where the header has 6"),
        ("5,a,1,1,2,b,", "7 fields where the header has 6"),
        ("5,\"a,1,1,2,b", "a quote opens here and never closes"),
        ("5,\"a\"b,1,1,2,b", "\"b\" stands between a closing quote"),
    ] {
        let (code, sentence) = fault(format!("{BURST}1,a,1,1,2,b\n{row}\n6,a,1,1,2,b\n"));
        assert_eq!(code, "bad-row", "{row}");
        assert!(sentence.starts_with("t.csv, row 3: "), "{sentence}");
        assert!(sentence.contains(part), "{sentence}");
    }
    let deep = "[".repeat(100_000);
    for row in [
        "{",
        "{\"ts\":1,}",
        "[1]",
        "7",
        "{} {}",
        "{\"ts\":1,\"ts\":1}",
        &deep,
        "{\"\u{0}\":1}",
    ] {
        let first = "{\"ts\":1,\"prompt\":1,\"output\":2}\n";
        let (code, sentence) = fault(format!("{first}{row}\n"));
        assert_eq!(code, "bad-row", "{sentence}");
        assert!(sentence.starts_with("t.csv, row 2: "), "{sentence}");
    }
}

#[test]
fn missing_columns_are_told_with_what_is_allowed() {
    let (code, sentence) = fault("num_prefill_tokens,num_decode_tokens\n1,2\n");
    assert_eq!(code, "missing-column");
    assert!(
        sentence.contains("no column for the arrival time (any of: arrival_s, "),
        "{sentence}"
    );
    assert!(
        sentence.contains("has num_prefill_tokens, num_decode_tokens"),
        "{sentence}"
    );
    let (code, sentence) = fault("{\"prompt\": 1, \"output\": 2}\n");
    assert_eq!(code, "missing-column");
    assert!(sentence.contains("has output, prompt"), "{sentence}");
    let (code, _) = fault("Timestamp,Model,Request tokens,Total tokens,Log Type\n1,a,1,1,b\n");
    assert_eq!(code, "missing-column");
}

#[test]
fn what_is_no_trace() {
    for (content, code) in [
        (&b""[..], "empty-trace"),
        (b"\xef\xbb\xbf", "empty-trace"),
        (b"\n \n\r\n", "empty-trace"),
        (BURST.as_bytes(), "empty-trace"),
        (b"name,age\nx,1\n", "unknown-format"),
        (b"472,18\n3,4\n", "unknown-format"),
        (b"[{\"ts\":1}]\n", "unknown-format"),
        (b"\x00\x01\x02\x03\n\x00", "unknown-format"),
        (b"\xff\xfet\x00s\x00", "unknown-format"),
        (b"PK\x03\x04....", "unknown-format"),
        (b"\x28\xb5\x2f\xfd...", "unknown-format"),
        (b"PAR1....", "unknown-format"),
    ] {
        let (found, sentence) = fault(content);
        assert_eq!(found, code, "{sentence}");
        assert!(sentence.starts_with("t.csv: "), "{sentence}");
    }
}

#[test]
fn labels_end_at_256() {
    let rows = |n: u32| {
        (0..n).fold(BURST.to_owned(), |text, i| {
            format!("{text}1,m{i},1,1,2,b\n")
        })
    };
    let t = text(&rows(256)).expect("readable");
    assert_eq!(t.model.expect("has models").ids.last(), Some(&255));
    let (code, sentence) = fault(rows(257));
    assert_eq!(code, "bad-cell");
    assert!(
        sentence.contains("row 258, column \"Model\": \"m256\""),
        "{sentence}"
    );
}

#[test]
fn gzip_in_one_member_or_many() {
    let rows: String = (0..5000).fold(BURST.to_owned(), |mut text, i| {
        let _ = writeln!(text, "{i},ChatGPT,{},7,9,API log", i * 7 % 999);
        text
    });
    let plain = text(&rows).expect("readable");
    let (head, tail) = rows.as_bytes().split_at(777);
    let many = [gzip(head), gzip(b""), gzip(tail)].concat();
    for packed in [gzip(rows.as_bytes()), many] {
        assert_eq!(read(&packed[..], "t.csv", None).expect("readable"), plain);
    }
    let packed = gzip(rows.as_bytes());
    // Every cut within the header and the trailer, and some in between.
    let ends = |len: &usize| *len < 64 || *len + 64 > packed.len() || len.is_multiple_of(311);
    for len in (2..packed.len()).filter(ends) {
        let (code, sentence) = fault(&packed[..len]);
        assert_eq!(code, "truncated", "{len} of {}: {sentence}", packed.len());
    }
    let mut damaged = packed.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    let (code, sentence) = fault(&damaged);
    assert_eq!(code, "truncated", "{sentence}");
    assert!(sentence.contains("damaged"), "{sentence}");
}

#[test]
fn an_endless_line_is_refused_before_it_fills_the_memory() {
    /// Yields its byte for ever and counts what was taken.
    struct Endless(u64, u8);
    impl Read for &mut Endless {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            buf.fill(self.1);
            self.0 += buf.len() as u64;
            Ok(buf.len())
        }
    }
    for (head, byte) in [
        ("", b'x'),
        (BURST, b'1'),
        (BURST, b','),
        ("ts,prompt,output\n1,\"", b'\n'),
    ] {
        let mut endless = Endless(0, byte);
        let input = head.as_bytes().chain(&mut endless);
        let e = read(input, "t.csv", None).expect_err("must be refused");
        assert_eq!(e.code(), "bad-row", "{e}");
        assert!(e.to_string().contains("longer than 4 MiB"), "{e}");
        assert!(endless.0 < 10 << 20, "took {} bytes", endless.0);
    }
    let wide = format!("{BURST}1,a,1,1,2,{}\n", "y".repeat(10 << 20));
    let (code, sentence) = fault(&wide);
    assert_eq!(code, "bad-row");
    assert!(sentence.starts_with("t.csv, row 2: "), "{sentence}");
    // A long row within the limit is read, whatever its unread columns hold.
    let long = format!("ts,prompt,output,text\n1,2,3,{}\n", "y".repeat(3 << 20));
    assert_eq!(text(&long).expect("readable").prompt, [2]);
}

#[test]
fn a_refused_read_is_told() {
    struct Refuses;
    impl Read for Refuses {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let e = read(Refuses, "t.csv", None).expect_err("must be refused");
    assert_eq!(e.to_string(), "cannot read t.csv: the disk is gone");
    let e = read(BURST.as_bytes().chain(Refuses), "t.csv", None).expect_err("must be refused");
    assert_eq!(e.code(), "file");
}

#[test]
fn small_reads_give_the_same() {
    /// Hands out one byte at a time, with interruptions.
    struct Drip<'a>(&'a [u8], bool);
    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let n = usize::from(!self.0.is_empty() && !buf.is_empty());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let rows = format!("\u{feff}{BURST}1,a,1,1,2,b\r\n\r\n2,\"c\nd\",3,0,3,b");
    let whole = text(&rows).expect_err("a label with a line end");
    assert_eq!(
        read(Drip(rows.as_bytes(), false), "t.csv", None).expect_err("the same"),
        whole
    );
    let rows = rows.replace("c\nd", "c d");
    let whole = text(&rows).expect("readable");
    assert_eq!(
        read(Drip(rows.as_bytes(), false), "t.csv", None).expect("readable"),
        whole
    );
    let packed = gzip(rows.as_bytes());
    assert_eq!(
        read(Drip(&packed, false), "t.csv", None).expect("readable"),
        whole
    );
    // The archive's own checksum stands 8 bytes before its end.
    let mut damaged = packed.clone();
    damaged[packed.len() - 8] ^= 1;
    let refused = read(&damaged[..], "t.csv", None).expect_err("another checksum");
    assert_eq!(refused.code(), "truncated");
    assert_eq!(
        refused.to_string(),
        "t.csv: the gzip data is damaged (corrupt gzip stream does not have a matching checksum); \
         copy or download the file again"
    );
    let dripped = read(Drip(&damaged, false), "t.csv", None).expect_err("the same");
    assert_eq!(dripped, refused);
}

/// Opens a real trace, or says that the test is skipped.
fn shared(path: &str) -> Option<Trace> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(path);
    match std::fs::File::open(&file) {
        Ok(input) => Some(read(input, path, None).expect("a real trace must be readable")),
        Err(_) => {
            eprintln!("skipped: {} is not here", file.display());
            None
        }
    }
}

#[test]
fn real_traces() {
    if let Some(t) = shared("burstgpt_slice/BurstGPT_1_head.csv") {
        assert_eq!((t.len(), t.report.rows_failed), (400, 17));
        assert_eq!((t.arrival[0], t.prompt[0], t.output[0]), (5.0, 472, 18));
    }
    if let Some(t) = shared("azure2023/AzureLLMInferenceTrace_code.csv.gz") {
        assert_eq!((t.len(), t.report.format.as_str()), (8819, "azure"));
        assert_eq!((t.prompt[8818], t.output[8818]), (549, 173));
    }
    if let Some(t) = shared("mooncake/conversation_trace.jsonl.gz") {
        assert_eq!((t.len(), t.report.format.as_str()), (12031, "mooncake"));
        assert_eq!(t.prefix.expect("has blocks").blocks.len(), 288_500);
    }
    if let Some(t) = shared("sharegpt_lengths/sharegpt-llama-3.1-8b-300-sps10.csv") {
        assert_eq!((t.len(), t.report.format.as_str()), (300, "csv"));
    }
    if let Some(t) = shared("vllm_rtx4090/run_requests.jsonl") {
        assert_eq!((t.len(), t.report.format.as_str()), (300, "jsonl"));
    }
    let lengths =
        "../shared/data/vidur/arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv.gz";
    if let Ok(input) = std::fs::File::open(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(lengths))
    {
        let e = read(input, "vidur", None).expect_err("it has no arrivals");
        assert_eq!(e.code(), "missing-column");
    }
}

const CHATS: &str = "\
{\"chat_id\": 7, \"parent_chat_id\": -1, \"timestamp\": 0.114, \"input_length\": 61, \"output_length\": 100, \"type\": \"text\", \"turn\": 1, \"hash_ids\": [0, 1, 2, 3]}
{\"chat_id\": 3, \"parent_chat_id\": -1, \"timestamp\": 1, \"input_length\": 16, \"output_length\": 5, \"type\": \"search\", \"turn\": 1, \"hash_ids\": [9]}
{\"chat_id\": 9, \"parent_chat_id\": 7, \"timestamp\": 5.5, \"input_length\": 91, \"output_length\": 100, \"type\": \"text\", \"turn\": 2, \"hash_ids\": [0, 1, 2, 4, 5, 6]}
{\"chat_id\": 11, \"parent_chat_id\": 55, \"timestamp\": 6, \"input_length\": 7, \"output_length\": 1, \"type\": \"text\", \"turn\": 3, \"hash_ids\": []}
{\"chat_id\": 12, \"parent_chat_id\": 55, \"timestamp\": 7, \"input_length\": 7, \"output_length\": 1, \"type\": \"file\", \"turn\": 3}
{\"chat_id\": 1, \"parent_chat_id\": 9, \"timestamp\": 9, \"input_length\": 200, \"output_length\": 1, \"type\": \"text\", \"turn\": 3}
";

#[test]
fn bailian_counts_seconds_and_blocks_of_16_tokens() {
    let t = text(CHATS).expect("readable");
    assert_eq!(t.report.format, "bailian");
    assert_eq!(t.arrival, [0.114, 1.0, 5.5, 6.0, 7.0, 9.0]);
    // A chat, what goes on from it and what goes on from that; two that go on from one that is not here.
    assert_eq!(t.session, Some(vec![0, 1, 0, 2, 2, 0]));
    let types = t.log_type.expect("has types");
    assert_eq!(types.names, ["text", "search", "file"]);
    assert_eq!(types.ids, [0, 1, 0, 0, 2, 0]);
    let prefix = t.prefix.expect("has blocks");
    assert_eq!(prefix.tokens_per_block, 16);
    assert_eq!(prefix.of(2), [0, 1, 2, 5, 6, 7]);
    assert_eq!((prefix.of(3).len(), prefix.of(5).len()), (0, 0));
    // Children may stand in front of their parents.
    let backwards: String = CHATS.lines().rev().map(|l| format!("{l}\n")).collect();
    assert_eq!(
        text(&backwards).expect("readable").session,
        Some(vec![0, 1, 0, 2, 2, 0])
    );
    let (code, sentence) = fault(CHATS.replace("\"chat_id\": 3,", "\"chat_id\": 7,"));
    assert_eq!(code, "bad-cell");
    assert!(
        sentence.contains("row 2, column \"chat_id\": \"7\"") && sentence.contains("row 1 has"),
        "{sentence}"
    );
    let (code, sentence) = fault(CHATS.replace(
        "\"chat_id\": 7, \"parent_chat_id\": -1",
        "\"chat_id\": 7, \"parent_chat_id\": 1",
    ));
    assert_eq!(code, "bad-row");
    assert!(sentence.contains("goes on from itself"), "{sentence}");
}

#[test]
fn what_a_format_assumes_is_held_against_the_rows() {
    // Bailian's rows without the fields that name it: a fraction of a millisecond, and too many blocks.
    let bare = "{\"timestamp\": 0.114, \"input_length\": 61, \"output_length\": 1, \"hash_ids\": [0, 1, 2, 3]}";
    let (code, sentence) = fault(bare);
    assert_eq!(code, "bad-cell");
    for part in [
        "row 1",
        "\"0.114\"",
        "whole number of milliseconds",
        "--time-unit",
        "trace.file.time_unit",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    let (code, sentence) = fault(bare.replace("0.114", "114"));
    assert_eq!(code, "bad-row");
    for part in [
        "row 1: 4 blocks in \"hash_ids\" for a prompt of 61 tokens, which is 1 block of 512 tokens",
        "--hash-tokens",
        "trace.file.hash_tokens",
        "16 to 20 would fit",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    let told = Reading {
        time_unit: Some(TimeUnit::S),
        hash_tokens: Some(16),
        ..Reading::default()
    };
    let t = trace::read_as(bare.as_bytes(), "t", &told).expect("readable");
    assert_eq!(t.arrival, [0.114]);
    assert_eq!(t.prefix.expect("has blocks").tokens_per_block, 16);

    // Each row of its own: full blocks alone are right, and so is the last one partly filled.
    let line = |tokens: u32, blocks: u32| {
        let ids: Vec<u32> = (0..blocks).collect();
        format!(
            "{{\"timestamp\":0,\"input_length\":{tokens},\"output_length\":8,\"hash_ids\":{ids:?}}}\n"
        )
    };
    for (tokens, blocks) in [
        (512, 1),
        (1000, 1),
        (1000, 2),
        (511, 0),
        (0, 0),
        (1024, 2),
        (20_000, 0),
    ] {
        text(&line(tokens, blocks)).expect("right");
    }
    for (tokens, blocks, part) in [
        (
            20,
            4,
            "row 2: 4 blocks in \"hash_ids\" for a prompt of 20 tokens, which is 1 block of",
        ),
        (
            20_000,
            1,
            "1 block in \"hash_ids\" for a prompt of 20000 tokens, which is 40 blocks of",
        ),
        (1024, 1, "1024 or more would fit"),
        (513, 3, "171 to 256 would fit"),
        (0, 1, "which is 0 blocks of 512 tokens"),
        (1, 2, "which is 1 block of 512 tokens"),
    ] {
        let (code, sentence) = fault(line(512, 1) + &line(tokens, blocks));
        assert_eq!(code, "bad-row");
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn hash_blocks_of_any_size_in_any_table() {
    let jsonl = "{\"ts\":1,\"prompt\":40,\"output\":2,\"hash_ids\":[5,6],\"block_tokens\":16}\n\
                 {\"ts\":2,\"prompt\":40,\"output\":2}\n\
                 {\"ts\":3,\"prompt\":40,\"output\":2,\"hash_ids\":null}\n\
                 {\"ts\":4,\"prompt\":33,\"output\":2,\"hash_ids\":[5,6,7],\"block_tokens\":16}\n";
    let prefix = text(jsonl).expect("readable").prefix.expect("has blocks");
    assert_eq!(
        (prefix.tokens_per_block, &prefix.offsets[..]),
        (16, &[0, 2, 2, 2, 5][..])
    );
    let (_, sentence) =
        fault(jsonl.replace("[5,6,7],\"block_tokens\":16", "[5,6],\"block_tokens\":17"));
    assert!(
        sentence.contains("row 4, column \"block_tokens\": \"17\" is not 16"),
        "{sentence}"
    );
    // A size that a later row is the first to say holds for the rows before it too.
    let late = |hashes: &str| {
        format!(
            "{{\"ts\":1,\"prompt\":3,\"output\":2,\"hash_ids\":{hashes}}}\n\
             {{\"ts\":2,\"prompt\":9,\"output\":2,\"hash_ids\":[7,8],\"block_tokens\":6}}\n"
        )
    };
    let prefix = text(&late("[1]"))
        .expect("readable")
        .prefix
        .expect("has blocks");
    assert_eq!(prefix.tokens_per_block, 6);
    let (code, sentence) = fault(late("[1,2]"));
    assert_eq!(code, "bad-cell");
    assert!(
        sentence.contains(
            "row 2, column \"block_tokens\": \"6\" is not a size of which 3 tokens make 2"
        ),
        "{sentence}"
    );
    // Hashes that begin later; a size that nobody names is not given.
    let t = text("{\"ts\":1,\"prompt\":1,\"output\":2}\n{\"ts\":1,\"prompt\":9,\"output\":2,\"hash_ids\":[3]}")
        .expect("readable");
    let prefix = t.prefix.expect("has blocks");
    assert_eq!(
        (prefix.tokens_per_block, &prefix.offsets[..]),
        (0, &[0, 0, 1][..])
    );
    let csv = "ts,prompt,output,hash_ids\n1,40,2,\"[5, 6]\"\n2,40,2,\n";
    let told = Reading {
        hash_tokens: Some(16),
        ..Reading::default()
    };
    let t = trace::read_as(csv.as_bytes(), "t", &told).expect("readable");
    let prefix = t.prefix.expect("has blocks");
    assert_eq!(
        (prefix.tokens_per_block, &prefix.offsets[..]),
        (16, &[0, 2, 2][..])
    );
    let e = trace::read_as(&b"ts,prompt,output\n1,2,3\n"[..], "t", &told).expect_err("no hashes");
    assert_eq!(e.code(), "contradiction");
    let none = Reading {
        hash_tokens: Some(0),
        ..Reading::default()
    };
    let e = trace::read_as(csv.as_bytes(), "t", &none).expect_err("out of range");
    assert_eq!(e.code(), "bad-field");
}

#[test]
fn what_one_format_knows_the_others_know_too() {
    let t = text(
        "{\"session_id\": \"a\", \"timestamp\": 0, \"input_length\": 655, \"output_length\": 52}\n\
         {\"timestamp\": 5, \"input_length\": 9, \"output_length\": 52, \"model\": \"m\"}\n\
         {\"session_id\": \"a\", \"timestamp\": 20000, \"input_length\": 755, \"output_length\": 52}\n",
    )
    .expect("readable");
    assert_eq!(
        (t.report.format.as_str(), &t.arrival[..]),
        ("mooncake", &[0.0, 0.005, 20.0][..])
    );
    assert_eq!(t.session, Some(vec![0, NO_SESSION, 0]));
    let model = t.model.expect("has models");
    assert_eq!(
        (model.names, model.ids),
        (vec![String::new(), "m".into()], vec![0, 1, 0])
    );
    let t = text(
        "TIMESTAMP,ContextTokens,GeneratedTokens,session_id,model\n2023-11-16 18:17:03,1,1,x,m\n",
    )
    .expect("readable");
    assert_eq!(
        (t.report.format.as_str(), t.session),
        ("azure", Some(vec![0]))
    );
    assert_eq!(t.model.expect("has models").names, ["m"]);
    // A column without any session is none.
    let t = text("ts,prompt,output,session\n1,2,3,\n2,2,3,none\n").expect("readable");
    assert_eq!(t.session, None);
}

#[test]
fn turns_behind_an_answer_are_named() {
    for (content, row, pause) in [
        (
            "{\"session_id\": \"a\", \"timestamp\": 0, \"input_length\": 655, \"output_length\": 52}\n\
             {\"session_id\": \"a\", \"delay\": 5000, \"input_length\": 755, \"output_length\": 52}\n",
            2,
            "delay",
        ),
        (
            "{\"timestamp\": null, \"delay\": 5, \"input_length\": 755, \"output_length\": 52}\n",
            1,
            "delay",
        ),
        (
            "{\"input_len\":0,\"output_tokens\":90,\"pre_gap_s\":0.7428,\"session_id\":\"s\"}\n",
            1,
            "pre_gap_s",
        ),
        (
            "{\"prompt\":1,\"output\":1,\"think_time_s\":3}",
            1,
            "think_time_s",
        ),
        ("prompt,output,think_time\n1,2,3\n", 1, "think_time"),
    ] {
        let (code, sentence) = fault(content);
        assert_eq!(code, "bad-row", "{sentence}");
        for part in [
            format!("row {row}: "),
            format!("begins \"{pause}\" after the answer"),
            "not supported".into(),
        ] {
            assert!(sentence.contains(&part), "{part}: {sentence}");
        }
    }
    // A pause beside a time of arrival is a note of the log's.
    let t = text("{\"ts\":1,\"delay\":7,\"prompt\":1,\"output\":1}").expect("readable");
    assert_eq!(t.arrival, [1.0]);
}

#[test]
fn numbers_in_quotes_are_numbers() {
    let t = text("{\"timestamp\":\"12.5\",\"prompt_tokens\":\"36\",\"output_tokens\":\"294\"}\n{\"timestamp\":\"13.5\",\"prompt_tokens\":36,\"output_tokens\":294}")
        .expect("readable");
    assert_eq!(
        (t.arrival, t.prompt, t.output),
        (vec![12.5, 13.5], vec![36, 36], vec![294, 294])
    );
}

#[test]
fn times_since_1970_in_a_smaller_unit_are_told() {
    let file = |time: &str| format!("timestamp,input_length,output_length\n{time},100,10\n");
    for (time, unit, words) in [
        ("1777142838338", "ms", "milliseconds"),
        ("1777142838338000", "us", "microseconds"),
        ("1777142838338000000", "ns", "nanoseconds"),
        // 1974: a hundred billion seconds would be in the year 5138.
        ("126230400000", "ms", "milliseconds"),
    ] {
        let (code, sentence) = fault(file(time));
        assert_eq!(code, "bad-cell");
        for part in [
            format!("\"{time}\" is not a time in seconds from 0 to 1e11"),
            format!("in {words} it would be a time since 1970"),
            format!("--time-unit {unit}, trace.file.time_unit"),
        ] {
            assert!(sentence.contains(&part), "{part}: {sentence}");
        }
        assert_eq!(
            sentence.contains("call the column timestamp_ms"),
            unit == "ms"
        );
        let time_unit = match unit {
            "ms" => TimeUnit::Ms,
            "us" => TimeUnit::Us,
            _ => TimeUnit::Ns,
        };
        let told = Reading {
            time_unit: Some(time_unit),
            ..Reading::default()
        };
        let t = trace::read_as(file(time).as_bytes(), "t", &told).expect("readable");
        assert!((1e8..1e10).contains(&t.arrival[0]), "{:?}", t.arrival);
    }
    let t = text("timestamp_ms,prompt,output\n1777142838338,1,2\n").expect("readable");
    assert_eq!(t.arrival, [1777142838.338]);
    // A unit is said of numbers: dates have none.
    let told = Reading {
        time_unit: Some(TimeUnit::S),
        ..Reading::default()
    };
    let dates = &b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n"[..];
    assert_eq!(
        trace::read_as(dates, "t", &told).expect_err("dates").code(),
        "bad-cell"
    );
}

#[test]
fn other_files_are_named() {
    for (content, part) in [
        (
            "{\n  \"trace_id\": \"a\",\n  \"spans\": [\n",
            "spans of OpenTelemetry",
        ),
        (
            "{\"id\":\"t\",\"hash_id_scope\":\"local\",\"requests\":[]}",
            "Weka",
        ),
        (
            "{\"backend\":\"vllm\",\"mean_ttft_ms\":1}",
            "result of a benchmark",
        ),
        (
            "{\"metadata\":{},\"metrics\":{},\"error\":null}",
            "result of a benchmark",
        ),
        (
            "{\n  \"0\": {\n    \"input_tokens\": \"{}\",\n    \"output_tokens\": \"{}\"\n",
            "ServeGen",
        ),
        ("0,0,0,,0,0\n600,0,0,,0,0\n", "ServeGen"),
        ("69600,80.81,2.5,Gamma,0.15,0.01\n", "ServeGen"),
        ("0,100,20\n", "a table begins with the names of its columns"),
    ] {
        let (code, sentence) = fault(content);
        assert_eq!(code, "unknown-format", "{sentence}");
        assert!(sentence.contains(part), "{sentence}");
    }
    let (code, sentence) = fault("{\n  \"a\": 1\n}\n");
    assert_eq!(code, "bad-row");
    assert!(sentence.contains("one object per line"), "{sentence}");
}

/// The outcome of reading a file of the shared folder, or nothing where it is not here.
fn reading_of(path: &str) -> Option<Result<Trace, Error>> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(path);
    let Ok(input) = std::fs::File::open(&file) else {
        eprintln!("skipped: {} is not here", file.display());
        return None;
    };
    Some(read(input, path, None))
}

#[test]
fn files_of_others() {
    if let Some(t) = reading_of("cases/04-bailian-trace/chats.jsonl") {
        let t = t.expect("readable");
        assert_eq!((t.report.format.as_str(), t.len()), ("bailian", 12));
        let s = trace::stats(&t);
        assert!((s.span_s - 55.386).abs() < 1e-9, "{}", s.span_s);
        assert_eq!(t.session, Some(vec![0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]));
    }
    if let Some(t) = reading_of("data/traces/splitwise_code/splitwise_code.csv.gz") {
        assert_eq!(t.expect("readable").len(), 8819);
    }
    if let Some(t) = reading_of("data/traces/inference_perf/trace.csv") {
        assert_eq!(t.expect("readable").report.format, "azure");
    }
    for (path, part) in [
        ("cases/05-mooncake-hash-count/bad.jsonl", "row 1: 4 blocks"),
        (
            "cases/12-mooncake-multi-turn/delay.jsonl",
            "row 2: this turn has no time of arrival",
        ),
        ("cases/13-numeric-strings/epoch_ms.csv", "--time-unit ms"),
        (
            "data/traces/lmcache_agentic/lmcache_agentic.jsonl.gz",
            "\"pre_gap_s\" after the answer",
        ),
        ("data/traces/servegen/m-small_chunk-9-trace.csv", "ServeGen"),
        (
            "data/traces/servegen/m-small_chunk-9-dataset.json.gz",
            "ServeGen",
        ),
        (
            "data/traces/inference_perf/simple_chain.json",
            "OpenTelemetry",
        ),
        (
            "data/traces/inference_perf/prefix_sharing_example.json",
            "OpenTelemetry",
        ),
        (
            "data/results/vllm/8xH100-Llama-3.1-405B-FP8-16qps.json.gz",
            "result of a benchmark",
        ),
        (
            "data/results/guidellm/guidellm_0.8.0dev_report_v2_mock.json",
            "result of a benchmark",
        ),
        (
            "data/results/aiperf/qwen_concurrency1_profile_export.jsonl",
            "result of a benchmark",
        ),
    ] {
        if let Some(t) = reading_of(path) {
            let sentence = t.expect_err(path).to_string();
            assert!(sentence.contains(part), "{path}: {sentence}");
        }
    }
    if let Some(t) = reading_of("cases/12-mooncake-multi-turn/sessions.jsonl") {
        assert_eq!(t.expect("readable").session, Some(vec![0, 0]));
    }
    if let Some(t) = reading_of("cases/13-numeric-strings/t.jsonl") {
        assert_eq!(t.expect("readable").arrival, [12.5, 13.5]);
    }
}

/// Arrival in ms, prompt, output, label, hash ids of a row.
type Row = (u64, u32, u32, u8, Vec<u64>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0..1_000_000_000_000u64,
        0..=100_000_000u32,
        0..=100_000_000u32,
        0..5u8,
        prop::collection::vec(any::<u64>(), 0..5),
    )
        // As many tokens as the blocks can hold.
        .prop_map(|(ms, prompt, output, label, ids)| match ids.len() as u32 {
            0 => (ms, prompt, output, label, ids),
            blocks => (
                ms,
                512 * (blocks - 1) + 1 + prompt % 512,
                output,
                label,
                ids,
            ),
        });
    prop::collection::vec(row, 1..40)
}

/// Seconds with three decimals, as text; its nearest double is `ms / 1000`.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Milliseconds since 1970, below the year 2002, as a calendar time.
fn calendar(ms: u64) -> String {
    let (mut days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    format!(
        "{year:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
        month + 1,
        days + 1,
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1000 % 60,
        rest % 1000
    )
}

fn write(format: Format, rows: &[Row]) -> String {
    let mut out = match format {
        Format::Burstgpt => BURST.to_owned(),
        Format::Azure => "TIMESTAMP,ContextTokens,GeneratedTokens\r\n".to_owned(),
        Format::Csv => "output,model,prompt,arrival_s\n".to_owned(),
        Format::Bailian | Format::Mooncake | Format::Jsonl => String::new(),
    };
    for (i, (ms, p, o, label, ids)) in rows.iter().enumerate() {
        let at = seconds(*ms);
        let _ = match format {
            Format::Burstgpt => writeln!(out, "{at},m{label},{p},{o},0,log"),
            Format::Azure => write!(out, "{},{p},{o}\r\n", calendar(*ms)),
            Format::Csv => writeln!(out, "{o},\"m{label}\",{p},{at}"),
            Format::Bailian => writeln!(
                out,
                "{{\"chat_id\":{i},\"timestamp\":{at},\"input_length\":{p},\"output_length\":{o}}}"
            ),
            Format::Mooncake => writeln!(
                out,
                "{{\"timestamp\":{ms},\"input_length\":{p},\"output_length\":{o},\"hash_ids\":{ids:?}}}"
            ),
            Format::Jsonl => writeln!(
                out,
                "{{\"arrival_s\":{at},\"prompt\":{p},\"output\":{o},\"model\":\"m{label}\"}}"
            ),
        };
    }
    out
}

const FORMATS: [Format; 6] = [
    Format::Burstgpt,
    Format::Azure,
    Format::Bailian,
    Format::Mooncake,
    Format::Csv,
    Format::Jsonl,
];

proptest! {
    // Failures print their input; a file of them would have to be kept with the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(rows in rows(), packed: bool, explicit: bool) {
        for format in FORMATS {
            let content = write(format, &rows);
            let bytes = if packed { gzip(content.as_bytes()) } else { content.into_bytes() };
            let t = read(&bytes[..], "t", explicit.then_some(format)).expect("readable");
            prop_assert_eq!(&t.report.format, format.name());
            let behind = rows.iter().scan(0, |latest, row| {
                *latest = row.0.max(*latest);
                Some(u64::from(row.0 < *latest))
            });
            prop_assert_eq!(t.report.rows_sorted, behind.sum::<u64>());
            let mut sorted = rows.clone();
            sorted.sort_by_key(|row| row.0);
            let first = if format == Format::Azure { sorted[0].0 } else { 0 };
            let arrivals: Vec<f64> = sorted.iter().map(|r| (r.0 - first) as f64 / 1000.0).collect();
            prop_assert_eq!(&t.arrival, &arrivals);
            prop_assert_eq!(&t.prompt, &sorted.iter().map(|r| r.1).collect::<Vec<_>>());
            prop_assert_eq!(&t.output, &sorted.iter().map(|r| r.2).collect::<Vec<_>>());
            if let Some(model) = &t.model {
                for (id, row) in model.ids.iter().zip(&sorted) {
                    prop_assert_eq!(&model.names[usize::from(*id)], &format!("m{}", row.3));
                }
            }
            prop_assert_eq!(t.prefix.is_some(), format == Format::Mooncake);
            if let Some(prefix) = &t.prefix {
                let ids: Vec<u64> = sorted.iter().flat_map(|r| r.4.clone()).collect();
                let mut seen: Vec<u64> = Vec::new();
                let dense: Vec<u32> = ids.iter().map(|id| {
                    let known = seen.iter().position(|s| s == id);
                    known.unwrap_or_else(|| { seen.push(*id); seen.len() - 1 }) as u32
                }).collect();
                prop_assert_eq!(&prefix.blocks, &dense);
                for (i, row) in sorted.iter().enumerate() {
                    prop_assert_eq!(prefix.of(i).len(), row.4.len());
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        head in prop::sample::select(vec![
            &b""[..], b"\x1f\x8b\x08\x00", b"Timestamp,Request tokens,Response tokens\n", b"{\"ts\":",
            b"ts,prompt,output\n",
        ]),
        format in prop::sample::select(FORMATS.iter().copied().map(Some).chain([None]).collect::<Vec<_>>()),
    ) {
        let content = [head, &bytes].concat();
        if let Ok(t) = read(&content[..], "t", format) {
            check_invariants(&t)?;
        }
    }

    #[test]
    fn mutated_files_never_panic(
        rows in rows(),
        format in prop::sample::select(FORMATS.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
        packed: bool,
    ) {
        let mut bytes = write(format, &rows).into_bytes();
        if packed {
            bytes = gzip(&bytes);
        }
        for (at, byte, what) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Ok(t) = read(&bytes[..], "t", None) {
            check_invariants(&t)?;
        }
    }
}

/// What every trace promises, whatever it was read from.
fn check_invariants(t: &Trace) -> Result<(), TestCaseError> {
    let n = t.arrival.len();
    prop_assert!(n > 0);
    prop_assert_eq!((t.prompt.len(), t.output.len()), (n, n));
    prop_assert!(t.arrival.iter().all(|a| a.is_finite() && *a >= 0.0));
    prop_assert!(t.arrival.is_sorted());
    prop_assert_eq!(t.report.rows, n as u64);
    for labels in [&t.model, &t.log_type].into_iter().flatten() {
        prop_assert_eq!(labels.ids.len(), n);
        prop_assert!(
            labels
                .ids
                .iter()
                .all(|id| usize::from(*id) < labels.names.len())
        );
    }
    prop_assert!(t.session.as_ref().is_none_or(|s| s.len() == n));
    let trace::PrefixBlocks {
        offsets, blocks, ..
    } = t.prefix.clone().unwrap_or_default();
    if t.prefix.is_some() {
        prop_assert_eq!(offsets.len(), n + 1);
        prop_assert!(offsets.is_sorted());
        prop_assert_eq!(offsets[n] as usize, blocks.len());
    }
    Ok(())
}
