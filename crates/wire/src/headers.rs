//! Response headers, as far as this crate has to see them.

/// Looks headers up by name.
///
/// The crate knows no HTTP library; whoever has a header map wraps it in a type of its own.
pub trait Headers {
    /// The first value of the header with that lower-case name; `None` when it is missing or not
    /// text.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Headers for [(&str, &str)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|&(_, value)| value)
    }
}

impl<const N: usize> Headers for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<&str> {
        Headers::get(self.as_slice(), name)
    }
}

impl Headers for &[(&str, &str)] {
    fn get(&self, name: &str) -> Option<&str> {
        Headers::get(*self, name)
    }
}
