//! Situations of PD's services that run apart from it.

use serde_json::{Value, json, value::to_raw_value};
use tidepool_model::Unknown;

use super::{Situation, Stage};

const MEMBERS: &str = "ms/members/tso";
const PRIMARY: &str = "ms/primary/tso";

fn begins(stage: &mut Stage) {
    let service = |name: &str| json!({"name": name, "replicas": 2, "config": "", "baseImage": "pingcap/pd"});
    stage.edit(json!({"spec": {"pd": {"mode": "ms"}, "pdms": [service("tso"), service("scheduling")]}}));
}

fn rests(stage: &mut Stage) -> Result<(), tidepool_model::render::RenderError> {
    begins(stage);
    stage.rest()
}

fn says(stage: &mut Stage, document: &str, value: &Value) {
    stage.world.pd.documents.insert(document.to_owned(), Ok(to_raw_value(value).expect("JSON")));
}

fn acts(stage: &mut Stage, pod: &str) {
    says(stage, PRIMARY, &json!(format!("http://{pod}.basic-tso-peer.default.svc:2379")));
}

fn edit_tso(stage: &mut Stage, field: &str, value: Value) {
    stage.world.cluster["spec"]["pdms"][0][field] = value;
    stage.edit(json!({}));
}

pub(super) fn all() -> Vec<Situation> {
    let mut all = at_rest();
    all.extend(changes());
    all
}

fn at_rest() -> Vec<Situation> {
    vec![
        situation!("pdms", "not-wanted", "PD runs its services itself: nothing is done.", Stage::rest),
        situation!("pdms", "from-nothing", "Nothing exists: all is created, and PD does not wait.", |stage| {
            begins(stage);
            Ok(())
        }),
        situation!("pdms", "at-rest", "Everything is as wanted: nothing is written.", rests),
        situation!("pdms", "paused", "The cluster is paused: nothing is written but the status.", |stage| {
            rests(stage)?;
            stage.edit(json!({"spec": {"paused": true, "version": "v8.5.8"}}));
            Ok(())
        }),
        situation!("pdms", "suspending", "The phase is Suspend: the StatefulSet goes.", |stage| {
            rests(stage)?;
            stage.edit(json!({"spec": {"pdms": [
                {"name": "tso", "replicas": 2, "config": "", "baseImage": "pingcap/pd",
                 "suspendAction": {"suspendStatefulSet": true}},
            ]}}));
            stage.round()
        }),
    ]
}

fn changes() -> Vec<Situation> {
    vec![
        situation!("pdms", "scale-out", "2 -> 4: one replica more, not two.", |stage| {
            rests(stage)?;
            edit_tso(stage, "replicas", json!(4));
            Ok(())
        }),
        situation!("pdms", "scale-in-primary", "2 -> 1 while the last member acts: another one takes over.", |stage| {
            rests(stage)?;
            acts(stage, "basic-tso-1");
            edit_tso(stage, "replicas", json!(1));
            Ok(())
        }),
        situation!("pdms", "upgrade-begins", "A new version: the template first, and PD waits.", |stage| {
            rests(stage)?;
            stage.edit(json!({"spec": {"version": "v8.5.8"}}));
            Ok(())
        }),
        situation!("pdms", "upgrade-of-the-primary", "The next pod acts: it hands over first.", |stage| {
            rests(stage)?;
            acts(stage, "basic-tso-1");
            edit_tso(stage, "version", json!("v8.5.8"));
            stage.round()
        }),
        situation!("pdms", "upgrade-without-primary", "Nobody acts at the moment: nothing restarts.", |stage| {
            rests(stage)?;
            edit_tso(stage, "version", json!("v8.5.8"));
            stage.round()?;
            says(stage, PRIMARY, &json!(""));
            Ok(())
        }),
        situation!("pdms", "silent", "PD does not say who the members are: unknown is not gone.", |stage| {
            rests(stage)?;
            stage.world.pd.documents.insert(MEMBERS.to_owned(), Err(Unknown::Failed("no answer within 5 s".into())));
            edit_tso(stage, "version", json!("v8.5.8"));
            edit_tso(stage, "replicas", json!(1));
            Ok(())
        }),
        situation!("pdms", "back-into-pd", "PD is to run its services again and does not yet: they stay.", |stage| {
            rests(stage)?;
            stage.edit(json!({"spec": {"pd": {"mode": ""}}}));
            says(
                stage,
                MEMBERS,
                &json!([{
                    "name": "basic-tso-0", "service-addr": "http://basic-tso-0.basic-tso-peer.default.svc:2379",
                }]),
            );
            Ok(())
        }),
        situation!("pdms", "back-in-pd", "PD runs its services again: the first pod goes.", |stage| {
            rests(stage)?;
            stage.edit(json!({"spec": {"pd": {"mode": ""}}}));
            says(stage, MEMBERS, &json!("not support micro service"));
            Ok(())
        }),
    ]
}
