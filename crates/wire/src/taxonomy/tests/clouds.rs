//! Answers of models on the clouds, where the cloud itself speaks before the model does.

use super::*;

#[rustfmt::skip]
pub(super) const CASES: &[Expected] = &[
    // Vertex: Google's words, then Anthropic's
    case(P::Vertex, 400,
        r#"{"error":"invalid_grant","error_description":"Invalid grant: account not found"}"#,
        dead(Key), NextKey, "invalid_key"),
    case(P::Vertex, 401,
        r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_EXPIRED"}]}}"#,
        Fault, NextKey, "token_expired"),
    case(P::Vertex, 400,
        r#"{"error":{"code":400,"message":"Publisher Model `projects/p/locations/us-west1/publishers/anthropic/models/claude-x` is not servable in region us-west1.","status":"FAILED_PRECONDITION"}}"#,
        ModelDenied, NextKey, "model_denied"),
    case(P::Vertex, 400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"}}"#,
        Blameless, Client, "invalid_request"),
    case(P::Vertex, 403,
        r#"{"error":{"code":403,"message":"Vertex AI API has not been used in project p before or it is disabled.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}"#,
        dead(Group), NextKey, "project_disabled"),
    case(P::Vertex, 403,
        r#"{"error":{"code":403,"message":"This API method requires billing to be enabled.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"BILLING_DISABLED"}]}}"#,
        broke(Group, Unknown), NextKey, "out_of_credit"),
    case(P::Vertex, 403,
        r#"{"error":{"code":403,"message":"Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p/locations/us-east5/publishers/anthropic/models/claude-x' (or it may not exist).","status":"PERMISSION_DENIED"}}"#,
        ModelDenied, NextKey, "model_denied"),
    case(P::Vertex, 404,
        r#"{"error":{"code":404,"message":"Publisher Model `projects/p/locations/us-east5/publishers/anthropic/models/claude-x` was not found or your project does not have access to it.","status":"NOT_FOUND"}}"#,
        Suspect, NextKey, "not_found"),
    case(P::Vertex, 429,
        r#"{"error":{"code":429,"message":"Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: anthropic-claude-x.","status":"RESOURCE_EXHAUSTED"}}"#,
        limited(GroupModel, Unknown), NextKey, "rate_limited"),
    case(P::Vertex, 529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        Overloaded, NextKey, "overloaded"),
];
