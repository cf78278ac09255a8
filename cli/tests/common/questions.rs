//! Questions that the schedule of a test may bring up, answered as an operator would.

use serde_json::Value as Json;
use tokio::process::Command;

/// Questions of one kind are so rare. Our write and a person's edit in the same millisecond have one time of change, and no
/// system tells more: what stands there may be its form of our value or the edit (`not_kept`). And a record whose keys and
/// whose other values somebody has all changed between two looks may be another one under the same id, where its system
/// does not say when it was made (`replaced`).
const OF_ONE_KIND_MAX: usize = 2;

/// Answers the open questions: takes the value that stands where ours was not kept, and says of what looks like another record
/// that it is the same. Gives what was asked.
pub async fn answer_what_is_asked(tandem: impl Fn() -> Command) -> Vec<String> {
    let mut asked = Vec::new();
    for kind in ["not_kept", "replaced"] {
        let list = ["conflicts", "list", "--kind", kind, "--json"];
        let open: Json = serde_json::from_str(&run(tandem(), &list).await).expect("JSON");
        let questions = open["items"].as_array().expect("a list");
        assert!(questions.len() <= OF_ONE_KIND_MAX, "{questions:#?}");
        for question in questions {
            let word = |name: &str| question[name].as_str().expect("a word");
            let answer = match kind {
                "not_kept" => vec!["--take", word("side")],
                _ => vec!["--approve", "--yes"],
            };
            let resolve = [vec!["conflicts", "resolve", word("id")], answer].concat();
            run(tandem(), &resolve).await;
            asked.push(word("asks").to_owned());
        }
    }
    asked
}

async fn run(mut command: Command, arguments: &[&str]) -> String {
    let output = command.args(arguments).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
