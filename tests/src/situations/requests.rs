//! Situations of PD and TiKV that somebody brought about: requests on pods, bigger volumes, lost members and owners, forced upgrades.

use serde_json::{Value, json};
use tidepool_model::render::RenderError;

use super::{Situation, Stage};

/// Long enough for a member to be replaced.
const TEN_MINUTES_MS: u64 = 600_000;

/// All of them.
pub fn all() -> Vec<Situation> {
    vec![
        situation!(
            "pd",
            "leader-asked-to-go",
            "A pod is to be made anew and leads: the leader moves first.",
            |stage| {
                stage.rest()?;
                asked(stage, "basic-pd-0", &json!({"tidb.pingcap.com/pd-transfer-leader": "delete-pod"}));
                Ok(())
            }
        ),
        situation!("pd", "pod-asked-to-go", "A pod is to be made anew and does not lead: it is deleted.", |stage| {
            stage.rest()?;
            asked(stage, "basic-pd-1", &json!({"tidb.pingcap.com/pd-transfer-leader": "delete-pod"}));
            Ok(())
        }),
        situation!("pd", "new-volumes-asked", "A pod is to get new volumes: its member leaves PD first.", |stage| {
            stage.rest()?;
            asked(stage, "basic-pd-2", &json!({"tidb.pingcap.com/replace-volume": "true"}));
            Ok(())
        }),
        situation!("pd", "new-volumes-after-removal", "Its member has left PD: claims and pod go.", |stage| {
            stage.rest()?;
            asked(stage, "basic-pd-2", &json!({"tidb.pingcap.com/replace-volume": "true"}));
            stage.act()
        }),
        situation!("pd", "volumes-grow", "Bigger volumes: the claim of one pod, and nothing is recreated.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"requests": {"storage": "20Gi"}}}}));
            Ok(())
        }),
        situation!("pd", "volumes-do-not-shrink", "Smaller volumes: nothing is written, and said why.", |stage| {
            stage.rest()?;
            stage.edit(json!({"spec": {"pd": {"requests": {"storage": "1Gi"}}}}));
            Ok(())
        }),
        situation!("pd", "member-lost", "A member has been down for long: it is marked.", lost),
        situation!(
            "pd",
            "member-marked",
            "A lost member was marked: it leaves PD, its pod and claims stay.",
            |stage| {
                lost(stage)?;
                stage.act()
            }
        ),
        situation!("pd", "member-removed", "A lost member has left PD: its claims and its pod go.", |stage| {
            lost(stage)?;
            stage.act()?;
            stage.act()
        }),
        situation!("pd", "forced-upgrade", "PD is silent and the user forces an upgrade: all pods at once.", |stage| {
            stage.rest()?;
            stage.pd_is_silent();
            (0..3).for_each(|ordinal| stage.pod_is_not_ready(&format!("basic-pd-{ordinal}")));
            stage.edit(json!({"metadata": {"annotations": {"tidb.pingcap.com/force-upgrade": "true"}}}));
            stage.edit(json!({"spec": {"version": "v8.5.8"}}));
            Ok(())
        }),
    ]
    .into_iter()
    .chain(stores())
    .collect()
}

/// The same of stores.
fn stores() -> Vec<Situation> {
    vec![
        situation!(
            "tikv",
            "volumes-grow",
            "Bigger volumes: the claim of one pod, and nothing is recreated.",
            |stage| {
                stage.rest()?;
                stage.edit(json!({"spec": {"tikv": {"requests": {"storage": "200Gi"}}}}));
                Ok(())
            }
        ),
        situation!(
            "tikv",
            "no-owner",
            "The StatefulSet has no owner: it is left alone, and said what to do.",
            |stage| {
                stage.rest()?;
                if let Some(set) = stage.world.get_mut("StatefulSet", "basic-tikv") {
                    set["metadata"]["ownerReferences"] = json!([]);
                }
                stage.edit(json!({"spec": {"tikv": {"replicas": 4}}}));
                Ok(())
            }
        ),
    ]
}

fn asked(stage: &mut Stage, pod: &str, annotations: &Value) {
    if let Some(pod) = stage.world.get_mut("Pod", pod) {
        pod["metadata"]["annotations"] = annotations.clone();
    }
}

fn lost(stage: &mut Stage) -> Result<(), RenderError> {
    stage.rest()?;
    stage.unhealthy_member("basic-pd-1");
    stage.pod_is_not_ready("basic-pd-1");
    stage.act()?;
    stage.world.now_ms += TEN_MINUTES_MS;
    Ok(())
}
