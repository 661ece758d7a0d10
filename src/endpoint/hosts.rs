//! The host table: what stands in for DNS (RFC 3263) between the nodes of one run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::wire::sip::Host;

/// Names and their addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts {
    names: BTreeMap<String, IpAddr>,
    /// The ports of those that do not listen at the usual one.
    ports: BTreeMap<String, u16>,
}

impl Hosts {
    /// Adds a name; names compare in any letter case.
    pub fn insert(&mut self, name: &str, address: IpAddr) {
        self.names.insert(name.to_ascii_lowercase(), address);
    }

    /// The address of a host as written in a URI or a Via: a literal stands for itself.
    pub fn resolve(&self, host: Host<'_>) -> Option<IpAddr> {
        let known = |name: &str| self.names.get(name).copied();
        // Names are seldom written in capitals.
        host.ip().or_else(|| known(host.0).or_else(|| known(&host.0.to_ascii_lowercase())))
    }

    /// Says at which port a name is reached when a URI names none, as an SRV record would.
    pub fn set_port(&mut self, name: &str, port: u16) {
        self.ports.insert(name.to_ascii_lowercase(), port);
    }

    /// The port of a name, where it is not the usual one.
    pub fn port(&self, host: Host<'_>) -> Option<u16> {
        if self.ports.is_empty() { None } else { self.ports.get(&host.0.to_ascii_lowercase()).copied() }
    }

    /// Every name with its address, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.names.iter().map(|(name, address)| (name.as_str(), *address))
    }

    /// The first name of an address, in alphabetical order.
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.names.iter().find(|(_, known)| **known == address).map(|(name, _)| name.as_str())
    }
}

impl<N: AsRef<str>> FromIterator<(N, IpAddr)> for Hosts {
    fn from_iter<I: IntoIterator<Item = (N, IpAddr)>>(pairs: I) -> Self {
        let mut hosts = Self::default();
        for (name, address) in pairs {
            hosts.insert(name.as_ref(), address);
        }
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_resolve_to_themselves_and_names_in_any_case() {
        let hosts: Hosts = [("pf.home1.example", "10.0.0.1".parse().expect("an address"))].into_iter().collect();
        assert_eq!(hosts.resolve(Host("PF.home1.example")), "10.0.0.1".parse().ok());
        assert_eq!(hosts.resolve(Host("[2001:db8::1]")), "2001:db8::1".parse().ok());
        assert_eq!(hosts.resolve(Host("nowhere.example")), None);
    }
}
