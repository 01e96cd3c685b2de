//! How providers are reached: TLS with a private root, HTTP/2 over as many connections as it takes, a proxy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod provider;
mod proxy;
mod world;

use provider::{Certificate, Protocol, Provider};
use proxy::Proxy;
use world::World;

#[tokio::test]
async fn a_provider_behind_a_private_root_is_reached_once_the_root_is_configured() {
    let provider = Provider::start(Protocol::Http1, 1).await;

    let trusting = World::start(&provider, |network| {
        network.ca_file = Some(provider.ca_file());
    });
    let answer = trusting.ask().await;
    assert_eq!(
        (answer.status, provider.versions()),
        (200, vec![http::Version::HTTP_11])
    );

    let distrusting = World::start(&provider, |_| ());
    let answer = distrusting.ask().await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.error_type(), "api_error");
    assert_eq!(
        provider.requests(),
        1,
        "nothing was sent to a host that could not be trusted"
    );
}

#[tokio::test]
async fn a_provider_with_a_certificate_that_is_not_right_is_left_for_a_key_with_another_one() {
    for certificate in [
        Certificate::Expired,
        Certificate::NotYetValid,
        Certificate::OtherHost,
    ] {
        let wrong = Provider::start_with(certificate, Protocol::Http1, 1).await;
        let right = Provider::start(Protocol::Http1, 1).await;
        let roots = tempfile::NamedTempFile::new().unwrap();
        let both = [wrong.ca_file(), right.ca_file()].map(|file| std::fs::read(file).unwrap());
        std::fs::write(roots.path(), both.concat()).unwrap();
        let trust = |network: &mut keypool_gateway::config::NetworkConfig| {
            network.ca_file = Some(roots.path().to_owned());
        };

        let world = World::start_before(&[&wrong, &right], trust);
        assert_eq!(world.ask().await.status, 200, "{certificate:?}");
        assert_eq!(
            (wrong.requests(), right.requests()),
            (0, 1),
            "{certificate:?}"
        );

        let alone = World::start_before(&[&wrong], trust);
        let answer = alone.ask().await;
        assert_eq!(answer.status, 502, "{certificate:?}");
        assert_eq!(answer.error_type(), "api_error");
        assert_eq!(wrong.requests(), 0, "no key is shown to such a host");
    }
}

#[tokio::test]
async fn more_http2_requests_than_one_connection_takes_are_spread_over_several() {
    // Twice what one connection per worker would let through; none is answered before all are there.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let together = 2 * workers * provider::STREAMS_PER_CONNECTION as usize;
    let provider = Provider::start(Protocol::Http2, together).await;
    let world = World::start(&provider, |network| {
        network.ca_file = Some(provider.ca_file());
    });

    let asking: Vec<_> = (0..together).map(|_| tokio::spawn(world.ask())).collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().status, 200);
    }
    assert_eq!(provider.requests(), together);
    assert!(
        provider
            .versions()
            .iter()
            .all(|version| *version == http::Version::HTTP_2)
    );
    let fewest = together / provider::STREAMS_PER_CONNECTION as usize;
    assert!(
        provider.connections() >= fewest,
        "{} connections",
        provider.connections()
    );
}

#[tokio::test]
async fn upstream_connections_are_kept_and_used_again() {
    // acceptance 77, as far as upstreams go
    let provider = Provider::start(Protocol::Http1, 1).await;
    let world = World::start(&provider, |network| {
        network.ca_file = Some(provider.ca_file());
    });
    let client = world::http_client();
    for _ in 0..20 {
        assert_eq!(world.ask_with(&client).await.status, 200);
    }
    assert_eq!((provider.requests(), provider.connections()), (20, 1));
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_with_its_credentials_and_sees_nothing_else() {
    let provider = Provider::start(Protocol::Http1, 1).await;
    let proxy = Proxy::start().await;
    let world = World::start(&provider, |network| {
        network.ca_file = Some(provider.ca_file());
        network.proxy = Some(format!("http://user:secret@{}", proxy.address()));
    });
    assert_eq!(world.ask().await.status, 200);

    let head = proxy.heads().pop().expect("a tunnel was asked for");
    assert!(
        head.starts_with(&format!("CONNECT localhost:{} ", provider.port())),
        "{head}"
    );
    // Base64 of `user:secret` (RFC 7617).
    let authorization = "proxy-authorization: basic dxnlcjpzzwnyzxq=";
    assert!(head.to_ascii_lowercase().contains(authorization), "{head}");
    assert!(!head.contains(world::KEY));
}
