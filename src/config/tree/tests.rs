use super::*;

fn root(text: &str) -> Node {
    parse(text).expect("YAML").expect("a document")
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        other => panic!("no map: {other:?}"),
    }
}

fn kind(text: &str) -> Kind {
    match root(text).value {
        Value::Scalar(scalar) => scalar.kind(),
        other => panic!("no scalar: {other:?}"),
    }
}

#[test]
fn every_node_knows_its_line_and_column() {
    let tree = root("é: 1\nlist:\n  - ü: x\n  - {y: 'z'}\n");
    let [first, list] = entries(&tree) else {
        panic!("{tree:?}")
    };
    assert_eq!(
        (first.mark, first.node.mark),
        (Mark { line: 1, column: 1 }, Mark { line: 1, column: 4 })
    );
    assert_eq!(list.mark, Mark { line: 2, column: 1 });
    let Value::List(items) = &list.node.value else {
        panic!("{list:?}")
    };
    assert_eq!(entries(&items[0])[0].node.mark, Mark { line: 3, column: 8 });
    assert_eq!(entries(&items[1])[0].mark, Mark { line: 4, column: 6 });
}

#[test]
fn json_is_yaml() {
    let text = "{\"a\": [1, true, null, \"x\\u00e9\\ud83d\\ude00\\/\"],\n\t\"b\": {\"c\": -1.5e3}}";
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(root(text).to_json(), json);
}

#[test]
fn words_have_the_types_of_yaml_1_2() {
    for text in [
        "on",
        "yes",
        "no",
        "off",
        "y",
        "127.0.0.1:80",
        "1:30",
        "0b1",
        "1_000",
        "'1'",
        "\"true\"",
        "1.2.3",
        "e",
        "''",
    ] {
        assert_eq!(kind(text), Kind::Text, "{text}");
    }
    for text in [
        "0", "-1", "+12", "1.5", ".5", "1e3", "0x1F", "0o17", ".inf", "-.inf", ".nan",
    ] {
        assert_eq!(kind(text), Kind::Number, "{text}");
    }
    assert_eq!(kind("True"), Kind::Flag(true));
    assert_eq!(kind("~"), Kind::Null);
    assert_eq!(entries(&root("a:")).len(), 1);
}

#[test]
fn repeated_keys_are_kept_for_the_walker_to_name() {
    assert_eq!(entries(&root("a: 1\na: 2\n")).len(), 2);
}

#[test]
fn what_hides_a_place_or_a_type_is_refused_where_it_is() {
    for (text, line, says) in [
        ("a: 1\nb: &x 1\n", 2, "anchor"),
        ("a: 1\nb: *x\n", 2, "anchor"),
        ("a: &x 1\nb: *x\n", 1, "anchor"),
        ("a: 1\nb: !!str 1\n", 2, "tag"),
        ("a: 1\n---\nb: 1\n", 2, "second document"),
        ("%YAML 1.1\n---\na: 1\n", 1, "directive"),
        ("a: 1\n? [b]\n: 1\n", 2, "as a key"),
        ("a: 1\nb: [1\n", 2, "not YAML"),
        ("a:\n\tb: 1\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
    ] {
        let fault = parse(text).expect_err(text);
        assert_eq!(fault.mark.line, line, "{text:?}: {}", fault.message);
        assert!(fault.message.contains(says), "{text:?}: {}", fault.message);
    }
}

#[test]
fn depth_nodes_and_bytes_are_bounded() {
    for (text, says) in [
        ("[".repeat(1000), "levels deep"),
        ("[a, ".repeat(MAX_DEPTH + 1), "levels deep"),
        ("- ".repeat(1000), "levels deep"),
        (format!("[{}]", "a,".repeat(MAX_NODES)), "values"),
        ("a".repeat(MAX_BYTES + 1), "larger than 1 MiB"),
    ] {
        let fault = parse(&text).expect_err(says);
        assert!(fault.message.contains(says), "{}", fault.message);
    }
    assert!(parse(&format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))).is_ok());
}

#[test]
fn an_empty_text_has_no_document() {
    for text in ["", "\n", "# a comment\n"] {
        assert!(parse(text).expect("YAML").is_none(), "{text:?}");
    }
}
