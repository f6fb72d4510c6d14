# What Longhaul's token needs to follow services in Consul, and no more:
#   consul acl policy create -name longhaul -rules @consul-policy.hcl
#   consul acl token create -policy-name longhaul
# Without `service:read` Consul hides the service, without `node:read` the nodes that its instances run on; either way
# it answers "none". Longhaul takes that for a missing permission where Consul says that it has hidden something.

# The services that are routed to; one line for each, or a `service_prefix` for several.
service "chat" { policy = "read" }

# The nodes that they run on. Where nodes have names with a common beginning, write that.
node_prefix "" { policy = "read" }
