//! nginx's regular expressions are PCRE's; ours have neither look-around nor back references.

/// Whether the gateway can use it.
pub(super) fn check(regex: &str) -> Result<(), String> {
    match regex::bytes::Regex::new(regex) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(format!("the regular expression cannot be used: {last}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_only_pcre_has_is_named() {
        assert_eq!(check(r"\.(jsp|do)$"), Ok(()));
        assert!(check("^/(?!static)").unwrap_err().contains("look-around"));
        assert!(check(r"(a)\1").unwrap_err().contains("backreferences"));
    }
}
