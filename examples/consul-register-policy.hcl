# What Longhaul's token needs besides consul-policy.hcl when it registers itself (`register:` in the config).
service "longhaul" { policy = "write" }
