//! The commands of a command line, for callers that read the values of their arguments.

use super::shell::{Assignment, Listener, listen};

/// What a command line does next, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It assigns a variable.
    Assign {
        /// The name of the variable.
        name: String,
        /// The value, in which variables are not expanded.
        value: String,
        /// Whether the value is added to the one that the variable has.
        appends: bool,
    },
    /// It runs a command of these words, in which variables are not expanded; what a command substitution yields is `$()`.
    Run(Vec<String>),
}

/// The steps of a command line: its elements are one command, and each script among them has commands of its own. The arguments of
/// `echo` and `printf` are none of its words.
pub fn steps<'a>(elements: impl Iterator<Item = &'a str>) -> Vec<Step> {
    let mut steps = Steps(Vec::new());
    listen(elements, &mut steps);
    steps.0
}

struct Steps(Vec<Step>);

impl Listener for Steps {
    const KEEPS_WORDS: bool = true;

    /// JSON may have white space in it, and is no script then.
    fn is_script(element: &str, before: &str, after_c: bool) -> bool {
        let is_value = element.starts_with(['-', '{', '[']) || before.starts_with("--");
        after_c || (element.contains(char::is_whitespace) && !is_value)
    }

    fn wants(&self, _: &str) -> bool {
        true
    }

    fn assign(&mut self, Assignment { name, value, appends }: Assignment<'_>) {
        let value = value.map(|value| Step::Assign { name: name.to_owned(), value: value.to_owned(), appends });
        self.0.extend(value);
    }

    fn command(&mut self, words: Vec<String>) {
        self.0.push(Step::Run(words));
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, steps};

    fn words(elements: &[&str]) -> Vec<Vec<String>> {
        let steps = steps(elements.iter().copied()).into_iter();
        steps.filter_map(|step| if let Step::Run(words) = step { Some(words) } else { None }).collect()
    }

    #[test]
    fn the_elements_are_one_command_and_a_script_has_its_own() {
        let json = r#"{"model": "a/b", "n": 2}"#;
        assert_eq!(words(&["vllm", "serve", "x", "--config", json]), [["vllm", "serve", "x", "--config", json]]);
        let script = format!("set -e\nexec vllm serve \"$X\" --config='{json}' && ls \\\n  -l # no");
        let own = [
            &["set", "-e"][..],
            &["exec", "vllm", "serve", "$X", &format!("--config={json}")],
            &["ls", "-l"],
            &["sh", "-c"],
        ];
        assert_eq!(words(&["sh", "-c", &script]), own);
        let nested = "ssh h \"mpirun -n 2 bash -c 'run --model a/b'\"";
        assert_eq!(words(&["bash", "-c", nested])[0], ["ssh", "h", "mpirun -n 2 bash -c 'run --model a/b'"]);
        assert_eq!(words(&["bash", "-c", "mpirun bash -c 'run --model a/b'"])[0], ["run", "--model", "a/b"]);
        assert_eq!(words(&["python3", "-c", "print('--model a/b')"]), [["python3", "-c"]]);
    }

    #[test]
    fn what_only_another_command_knows_is_marked() {
        let script = "run --model \"$(cat /model)\" -n $((1 + 2)) -p `id -u`x; echo --model a/b";
        let run = ["run", "--model", "$()", "-n", "$()", "-p", "$()x"];
        assert!(words(&["sh", "-c", script]).contains(&run.map(str::to_owned).to_vec()));
        assert!(words(&["sh", "-c", script]).contains(&vec!["echo".to_owned()]));
    }

    #[test]
    fn assignments_come_in_their_order() {
        let script = "export A=1 B='x y'; A+=2 run; : ${C:=3}; args=(--model a/b)";
        let assigned =
            |name: &str, value: &str, appends| Step::Assign { name: name.to_owned(), value: value.to_owned(), appends };
        let steps = steps(["sh", "-c", script].into_iter());
        let expected = [assigned("A", "1", false), assigned("B", "x y", false), assigned("A", "2", true)];
        assert_eq!(steps[..2], expected[..2]);
        assert!(steps.contains(&expected[2]) && steps.contains(&assigned("args", "", false)), "{steps:?}");
        assert!(steps.contains(&Step::Run(vec!["--model".to_owned(), "a/b".to_owned()])), "{steps:?}");
    }
}
