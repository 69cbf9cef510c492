//! The policies on the page match the schema, and the editor settings that it shows are complete.

use serde_json::{Value, json};

use crate::policy::schema::{takes, validator};

use super::page::{Page, each_block};

#[test]
fn policies_of_the_page_fit_the_schema() {
    let validator = validator();
    let in_policy = |rule: &Value| json!({"version":"1","default":"deny","tools":{"t":rule}});
    let wrap = |kind: &str, part: Value| match kind {
        "json policy" => part,
        "json rule" => in_policy(&part),
        "json condition" => in_policy(&json!({ "deny_if": [{ "conditions": [part] }] })),
        _ => in_policy(&json!({ "limits": [part] })),
    };
    for kind in ["json policy", "json rule", "json condition", "json limit"] {
        let count = each_block(kind, |block| {
            let part = serde_json::from_str(block.text).unwrap();
            takes(&validator, &wrap(kind, part), &block.place);
        });
        assert!(count > 0, "no {kind}");
    }
}

/// Both ways to refer to the schema lead to the file that the page creates.
#[test]
fn editor_settings_refer_to_the_file_that_the_page_creates() {
    let page = Page::topic("schema");
    let (_, command) = page.text().split_once("callgate schema > ").expect("a command");
    let file = command.split([' ', ';', '\n']).next().expect("a file");
    let file = file.rsplit('/').next().expect("its name");
    let blocks = page.blocks("json settings");
    let [settings] = &blocks[..] else { panic!("not one block of settings") };
    let settings: Value = serde_json::from_str(settings.text).unwrap();
    let entry = &settings["json.schemas"][0];
    assert_eq!(entry["url"], format!("./{file}"));
    assert!(entry["fileMatch"].as_array().is_some_and(|globs| !globs.is_empty()), "{entry}");
    let policies = page.blocks("json policy");
    let named = policies.iter().map(|block| serde_json::from_str::<Value>(block.text).unwrap());
    let named: Vec<Value> = named.filter_map(|policy| policy.get("$schema").cloned()).collect();
    assert_eq!(named, [json!(format!("./{file}"))]);
}
