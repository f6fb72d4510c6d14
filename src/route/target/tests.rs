use http::Request;

use super::*;

fn parts(uri: &str, hosts: &[&str]) -> Parts {
    let mut request = Request::builder().uri(uri);
    for host in hosts {
        request = request.header(header::HOST, *host);
    }
    request.body(()).unwrap().into_parts().0
}

fn host_of(uri: &str, hosts: &[&str]) -> Result<Option<String>, BadTarget> {
    Target::of(&parts(uri, hosts)).map(|target| target.host().map(str::to_owned))
}

fn host(name: &str) -> Result<Option<String>, BadTarget> {
    Ok(Some(name.to_owned()))
}

#[test]
fn a_path_has_its_host_from_the_host_field() {
    assert_eq!(host_of("/", &["Chat.Example.com"]), host("chat.example.com"));
    assert_eq!(
        host_of("/", &["chat.example.com.:8080"]),
        host("chat.example.com")
    );
    assert_eq!(host_of("/", &["chat.example.com:"]), host("chat.example.com"));
    assert_eq!(host_of("/", &["[::0001]:443"]), host("[::1]"));
    assert_eq!(host_of("/", &["[::1]"]), host("[::1]"));
    assert_eq!(host_of("/", &["127.0.0.1:80"]), host("127.0.0.1"));
    assert_eq!(host_of("/", &[]), Ok(None));
}

#[test]
fn a_host_that_backends_read_differently_is_refused() {
    for field in [
        "",
        "a,b",
        "a b",
        "u@a",
        "a:x",
        "a:65536",
        "a:+1",
        "a:80:80",
        "::1",
        "a/b",
        "[::1",
        "[::1]x:80",
        ":80",
    ] {
        assert_eq!(host_of("/", &[field]), Err(BadTarget::Host), "{field:?}");
    }
    assert_eq!(host_of("/", &["a", "a"]), Err(BadTarget::HostRepeated));
}

#[test]
fn an_absolute_target_must_name_the_host_of_the_host_field() {
    assert_eq!(
        host_of("http://Chat.example.com/x", &[]),
        host("chat.example.com")
    );
    assert_eq!(
        host_of("http://chat.example.com/x", &["CHAT.example.com.:80"]),
        host("chat.example.com")
    );
    assert_eq!(
        host_of("https://chat.example.com:443/x", &["chat.example.com"]),
        host("chat.example.com")
    );
    assert_eq!(
        host_of("http://chat.example.com/x", &["other.example.com"]),
        Err(BadTarget::HostDiffers)
    );
    assert_eq!(
        host_of("http://chat.example.com/x", &["chat.example.com:8080"]),
        Err(BadTarget::HostDiffers)
    );
    assert_eq!(
        host_of("https://chat.example.com/x", &["chat.example.com:80"]),
        Err(BadTarget::HostDiffers)
    );
    assert_eq!(
        host_of("http://u@chat.example.com/x", &["chat.example.com"]),
        Err(BadTarget::Host)
    );
    assert_eq!(host_of("http://a/x", &["a", "b"]), Err(BadTarget::HostRepeated));
}

#[test]
fn other_forms_of_target_are_refused() {
    assert_eq!(host_of("*", &["a"]), Err(BadTarget::Form));
    assert_eq!(host_of("a:80", &["a:80"]), Err(BadTarget::Form));
    assert_eq!(host_of("ftp://a/x", &["a"]), Err(BadTarget::Form));
}

#[test]
fn path_and_query_are_what_came() {
    let head = parts("/a//b%20c?x=1&y=%2F..%5c?z", &["a"]);
    let target = Target::of(&head).unwrap();
    assert_eq!(target.path(), "/a//b%20c");
    assert_eq!(target.query(), Some("x=1&y=%2F..%5c?z"));
    assert!(!target.has_encoded_slash(), "only the path is judged");
}

#[test]
fn an_ambiguous_path_is_a_400() {
    let why = Target::of(&parts("/a/../b", &["a"])).unwrap_err();
    assert_eq!(why, BadTarget::Path(AmbiguousPath::Dots));
    assert_eq!(why.status(), StatusCode::BAD_REQUEST);
    assert!(Target::of(&parts("/a%2fb", &["a"])).unwrap().has_encoded_slash());
}
