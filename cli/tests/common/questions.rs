//! Questions that the schedule of a test may bring up, answered as an operator would.

use serde_json::Value as Json;
use tokio::process::Command;

/// Our write and a person's edit in the same millisecond have one time of change, and no system tells more: what stands
/// there may be its form of our value or the edit, so a person is asked. At this pace that is at most this many times.
const NOT_KEPT_MAX: usize = 2;

/// Takes, in each open question about a value that was not kept, the value that stands there. Gives what was asked.
pub async fn take_what_was_not_kept(tandem: impl Fn() -> Command) -> Vec<String> {
    let list = ["conflicts", "list", "--kind", "not_kept", "--json"];
    let open: Json = serde_json::from_str(&run(tandem(), &list).await).expect("JSON");
    let mut asked = Vec::new();
    for question in open["items"].as_array().expect("a list") {
        let word = |name: &str| question[name].as_str().expect("a word");
        let answer = ["conflicts", "resolve", word("id"), "--take", word("side")];
        run(tandem(), &answer).await;
        asked.push(word("asks").to_owned());
    }
    assert!(asked.len() <= NOT_KEPT_MAX, "{asked:#?}");
    asked
}

async fn run(mut command: Command, arguments: &[&str]) -> String {
    let output = command.args(arguments).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
