//! `register AGENT NAME ID ADDRESS PORT` registers an instance with a check, `register AGENT ID` deregisters it.

use std::error::Error;

use consulrs::{
    api::{
        check::common::AgentServiceCheckBuilder,
        service::{common::AgentWeights, requests::RegisterServiceRequest},
    },
    client::{ConsulClient, ConsulClientSettingsBuilder},
    service,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &arguments[..] {
            [agent, name, id, address, port] => {
                let check = AgentServiceCheckBuilder::default()
                    .name("ttl")
                    .ttl("1h")
                    .status("passing")
                    .build()?;
                let mut request = RegisterServiceRequest::builder();
                request
                    .id(id.as_str())
                    .address(address.as_str())
                    .port(port.parse::<u64>()?)
                    .weights(AgentWeights {
                        passing: Some(3),
                        warning: Some(2),
                    })
                    .check(check);
                service::register(&client(agent)?, name, Some(&mut request)).await?;
            }
            [agent, id] => {
                service::deregister(&client(agent)?, id, None).await?;
            }
            _ => return Err("usage: register AGENT NAME ID ADDRESS PORT, or register AGENT ID".into()),
        }
        Ok(())
    })
}

fn client(agent: &str) -> Result<ConsulClient, Box<dyn Error>> {
    Ok(ConsulClient::new(
        ConsulClientSettingsBuilder::default().address(agent).build()?,
    )?)
}
