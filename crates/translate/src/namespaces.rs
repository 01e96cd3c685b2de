//! Functions that a client of the Responses API keeps in namespaces, as Codex does.
//!
//! No other API has namespaces. There such a function goes by one name that holds both, and is called by it; so
//! what the name was made of is kept until the answer has come.

/// A function in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacedTool {
    joined: String,
    namespace: String,
    name: String,
}

impl NamespacedTool {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            joined: joined(namespace, name),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The one name that holds both.
    pub(crate) fn joined(&self) -> &str {
        &self.joined
    }
}

/// The name under which other APIs know a function. It depends on nothing else, so that a tool and its
/// calls in the conversation so far go by the same one.
pub(crate) fn joined(namespace: &str, name: &str) -> String {
    // The namespaces of MCP servers end so themselves.
    let namespace = namespace.trim_end_matches('_');
    format!("{namespace}__{name}")
}

/// The namespace and the name of the function that a model called by `name`; no namespace if it is in none.
pub(crate) fn split<'n>(tools: &'n [NamespacedTool], name: &'n str) -> (Option<&'n str>, &'n str) {
    let tool = tools.iter().find(|tool| tool.joined == name);
    tool.map_or((None, name), |tool| (Some(&tool.namespace), &tool.name))
}
