//! Which Tomcat the files are for.

/// Which Tomcat; what they take differs a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Line {
    /// `javax.servlet`, as all of msm's Tomcats.
    #[default]
    #[value(name = "9.0")]
    V9_0,
    /// `jakarta.servlet`.
    #[value(name = "10.1")]
    V10_1,
    /// The newest.
    #[value(name = "11.0")]
    V11_0,
}

impl Line {
    /// As Tomcat counts.
    pub(super) fn numbers(self) -> (u32, u32) {
        match self {
            Self::V9_0 => (9, 0),
            Self::V10_1 => (10, 1),
            Self::V11_0 => (11, 0),
        }
    }
}

/// The first of a line with which everything is promised.
pub(super) fn floor(line: Line) -> &'static str {
    match line {
        Line::V9_0 => "9.0.122",
        Line::V10_1 => "10.1.60",
        Line::V11_0 => "11.0.26",
    }
}

/// The valve in each `<Host>`.
pub(super) const VALVE: &str = "org.apache.catalina.valves.PersistentValve";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stock::manager::told;

    #[test]
    fn it_is_what_users_are_told() {
        for line in [Line::V9_0, Line::V10_1, Line::V11_0] {
            let told = told(line.numbers());
            assert!(told.contains(&format!("<Valve className=\"{VALVE}\"/>")));
            assert!(told.contains(&format!("; {} or newer.", floor(line))), "{told}");
        }
    }
}
