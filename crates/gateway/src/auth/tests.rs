use http::{HeaderName, HeaderValue};

use super::*;
use crate::config::{
    AdminConfig, AffinityConfig, Bounds, NetworkConfig, QueueConfig, RetryConfig, RouterConfig,
    TenantConfig, Timeouts,
};
use crate::secret::Secret;

fn config(client_key: Option<&str>, admin_token: Option<&str>) -> GatewayConfig {
    GatewayConfig {
        listen: "127.0.0.1:3456".parse().unwrap(),
        client_key: client_key.map(Secret::new),
        tenants: Vec::new(),
        admin: AdminConfig {
            token: admin_token.map(Secret::new),
            listen: None,
        },
        known_hosts: vec!["gateway.example".to_owned()],
        health_check_interval: std::time::Duration::from_mins(1),
        queue: QueueConfig::default(),
        affinity: AffinityConfig::default(),
        retry: RetryConfig::default(),
        timeouts: Timeouts::default(),
        bounds: Bounds::default(),
        network: NetworkConfig::default(),
        answer_headers: true,
        providers: Vec::new(),
        router: RouterConfig::default(),
        aliases: Vec::new(),
        state_file: None,
        seed: 0,
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost:3456"));
    for (name, value) in pairs {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
}

fn uri(text: &'static str) -> Uri {
    Uri::from_static(text)
}

#[test]
fn the_client_key_is_taken_from_every_place_that_clients_use() {
    let config = config(Some("gateway-key"), None);
    for sent in [
        headers(&[("x-api-key", "gateway-key")]),
        headers(&[("authorization", "Bearer gateway-key")]),
        headers(&[("authorization", "bearer gateway-key")]),
        headers(&[("x-goog-api-key", "gateway-key")]),
    ] {
        assert_eq!(
            check_client(&config, &sent, &uri("/v1/messages")),
            Ok(TenantRef::DEFAULT)
        );
    }
    assert_eq!(
        check_client(&config, &headers(&[]), &uri("/v1/messages?key=gateway-key")),
        Ok(TenantRef::DEFAULT)
    );
    for sent in [headers(&[]), headers(&[("x-api-key", "gateway-ke")])] {
        assert_eq!(
            check_client(&config, &sent, &uri("/v1/messages")),
            Err(Denied::Credentials)
        );
    }
}

#[test]
fn with_an_admin_token_the_client_key_opens_no_admin_route() {
    // acceptance 90
    let config = config(Some("gateway-key"), Some("admin-token"));
    let with_client_key = headers(&[("x-api-key", "gateway-key")]);
    let with_token = headers(&[("authorization", "Bearer admin-token")]);
    let path = uri("/api/apikeys/stats");
    assert_eq!(
        check_admin(&config, &with_client_key, &path),
        Err(Denied::Credentials)
    );
    assert_eq!(
        check_admin(&config, &with_token, &path),
        Ok(AdminPass {
            with_admin_token: true
        })
    );
}

#[test]
fn a_page_of_another_site_and_an_unknown_host_are_refused() {
    let config = config(None, None);
    let path = uri("/api/apikeys/stats");
    let pass = Ok(AdminPass {
        with_admin_token: false,
    });
    let own = headers(&[("origin", "http://localhost:3456")]);
    assert_eq!(check_admin(&config, &headers(&[]), &path), pass);
    assert_eq!(check_admin(&config, &own, &path), pass);
    assert_eq!(
        check_admin(&config, &headers(&[("host", "gateway.example:1")]), &path),
        pass
    );
    assert_eq!(
        check_admin(&config, &headers(&[("host", "[::1]:3456")]), &path),
        pass
    );

    let foreign = headers(&[("origin", "https://evil.example")]);
    assert_eq!(
        check_admin(&config, &foreign, &path),
        Err(Denied::ForeignOrigin)
    );
    assert_eq!(
        check_client(&config, &foreign, &path),
        Err(Denied::ForeignOrigin)
    );
    let rebound = headers(&[("host", "evil.example:3456")]);
    assert_eq!(
        check_admin(&config, &rebound, &path),
        Err(Denied::UnknownHost)
    );
    let null = headers(&[("origin", "null")]);
    assert_eq!(
        check_admin(&config, &null, &path),
        Err(Denied::ForeignOrigin)
    );
}

fn with_tenants(client_key: Option<&str>, admin_token: Option<&str>) -> GatewayConfig {
    let tenant = |name: &str, key: &str, weight, urgency| TenantConfig {
        name: name.to_owned(),
        key: Secret::new(key),
        weight,
        urgency,
    };
    let tenants = vec![
        tenant("team-a", "key-of-team-a", 2, Urgency::High),
        tenant("team-b", "key-of-team-b", 1, Urgency::Batch),
    ];
    GatewayConfig {
        tenants,
        ..config(client_key, admin_token)
    }
}

/// Who presents this key, by name.
fn who<'a>(config: &'a GatewayConfig, key: &'static str) -> Result<&'a str, Denied> {
    let sent = headers(&[("x-api-key", key)]);
    check_client(config, &sent, &uri("/v1/messages")).map(|tenant| tenant.name)
}

#[test]
fn a_key_tells_the_tenant_and_the_gateways_own_key_is_the_default_tenants() {
    let config = with_tenants(Some("gateway-key"), None);
    assert_eq!(who(&config, "gateway-key"), Ok("default"));
    assert_eq!(who(&config, "key-of-team-a"), Ok("team-a"));
    assert_eq!(who(&config, "key-of-team-c"), Err(Denied::Credentials));
    let sent = headers(&[("authorization", "Bearer key-of-team-b")]);
    let expected = TenantRef {
        index: 2,
        name: "team-b",
        weight: 1,
        urgency: Urgency::Batch,
    };
    assert_eq!(
        check_client(&config, &sent, &uri("/v1/messages")),
        Ok(expected)
    );
}

#[test]
fn of_two_tenants_keys_in_one_request_the_first_counts() {
    let config = with_tenants(None, None);
    let sent = headers(&[
        ("authorization", "Bearer key-of-team-b"),
        ("x-api-key", "key-of-team-a"),
    ]);
    let tenant = check_client(&config, &sent, &uri("/v1/messages")).unwrap();
    assert_eq!(tenant.name, "team-b");
}

#[test]
fn with_tenants_and_no_key_of_the_gateways_own_only_theirs_open_traffic() {
    let config = with_tenants(None, None);
    assert_eq!(who(&config, "key-of-team-b"), Ok("team-b"));
    assert_eq!(who(&config, ""), Err(Denied::Credentials));
    assert_eq!(
        check_client(&config, &headers(&[]), &uri("/v1/messages")),
        Err(Denied::Credentials)
    );
}

#[test]
fn a_tenants_key_opens_no_admin_route() {
    let path = uri("/api/apikeys/stats");
    let sent = headers(&[("x-api-key", "key-of-team-a")]);
    for config in [
        with_tenants(Some("gateway-key"), None),
        with_tenants(None, Some("admin-token")),
        with_tenants(Some("gateway-key"), Some("admin-token")),
    ] {
        assert_eq!(check_admin(&config, &sent, &path), Err(Denied::Credentials));
    }
}

#[test]
fn keys_beyond_the_first_few_of_one_request_are_not_tried() {
    let config = with_tenants(Some("gateway-key"), None);
    let path = |wrong: usize| {
        let pairs = "key=wrong&".repeat(wrong);
        format!("/v1/messages?{pairs}key=gateway-key")
            .parse()
            .unwrap()
    };
    let tried = |wrong| check_client(&config, &headers(&[]), &path(wrong)).is_ok();
    assert!(tried(CREDENTIALS_TRIED - 1));
    assert!(!tried(CREDENTIALS_TRIED));
}

#[test]
fn an_address_that_others_reach_needs_a_guard_of_traffic_and_one_of_the_admin_api() {
    let outside = |config: GatewayConfig| GatewayConfig {
        listen: "0.0.0.0:3456".parse().unwrap(),
        ..config
    };
    let with_admin_at = |address: &str, config: GatewayConfig| GatewayConfig {
        admin: AdminConfig {
            listen: address.parse().ok(),
            ..config.admin.clone()
        },
        ..config
    };
    for guarded in [
        config(None, None),
        outside(config(Some("gateway-key"), None)),
        outside(with_tenants(Some("gateway-key"), None)),
        outside(with_tenants(None, Some("admin-token"))),
        outside(with_admin_at("127.0.0.1:1", with_tenants(None, None))),
    ] {
        assert_eq!(open_address(&guarded), None, "{guarded:?}");
    }
    for open in [
        outside(config(None, None)),
        outside(config(None, Some("admin-token"))),
        outside(with_tenants(None, None)),
        with_admin_at("0.0.0.0:1", with_tenants(None, None)),
    ] {
        assert!(open_address(&open).is_some(), "{open:?}");
    }
}
