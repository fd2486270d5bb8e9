//! Two engines that share the GPUs of a pod: one serves, the other waits for its end.

use serde_json::{Map, Value, json};

use super::{is_script, items};

/// The port of the first engine's processes, if the graph names none. The second has one a hundred higher.
const MASTER_PORT: u64 = 29_500;

/// Makes both engines of the main container.
pub(super) fn engines(main: Map<String, Value>, unknown: &mut Vec<String>) -> Vec<Value> {
    let words: Vec<_> = ["command", "args"].iter().flat_map(|key| items(main.get(*key))).collect();
    let has_known_arguments = !is_script(&main) && words.contains(&json!("dynamo.vllm"));
    if !has_known_arguments {
        unknown.push(
            "the arguments that the operator adds for failover, which are a part of the compile cache's folder"
                .to_owned(),
        );
    }
    let mut second = main.clone();
    if has_known_arguments {
        second.insert("args".to_owned(), with_port_of_second(items(main.get("args"))).into());
    }
    let named = |(number, mut engine): (usize, Map<String, Value>)| {
        engine.insert("name".to_owned(), format!("engine-{number}").into());
        Value::Object(engine)
    };
    [main, second].into_iter().enumerate().map(named).collect()
}

fn with_port_of_second(mut arguments: Vec<Value>) -> Vec<Value> {
    const FLAG: &str = "--master-port";
    let given = arguments.iter().position(|argument| argument == FLAG);
    let value = given.and_then(|flag| arguments.get_mut(flag + 1));
    match value {
        Some(value) => {
            let port = value.as_str().and_then(|port| port.parse::<u64>().ok());
            *value = port.unwrap_or(MASTER_PORT).saturating_add(100).to_string().into();
        }
        None => arguments.extend([FLAG.into(), (MASTER_PORT + 100).to_string().into()]),
    }
    arguments
}
