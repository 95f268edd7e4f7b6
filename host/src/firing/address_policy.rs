//! Which addresses may be dialled: plain rules, asked when a hook is saved (for literal addresses) and again for every
//! address that a name resolves to.
//!
//! Tenants write URIs, so without this page a hook could reach into the network that Hookbox stands in. Everything that
//! is not the public internet is refused, unless the operator lists it in `firing.allow_addresses`. An IPv6 address that
//! carries an IPv4 address (mapped, NAT64, 6to4, Teredo) is judged by the inner one too, because that is where the
//! packets go. The lists are IANA's special-purpose registries (RFC 6890 and its updates).
//!
//! What is *not* guaranteed here: that the judged address is the one dialled. [`super::client`] sees to that.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

/// An address that may not be dialled. The tenant's fault as a rule; the operator can allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{address} is {kind}; use a public address, or have the operator add it to firing.allow_addresses")]
pub struct AddressRefused {
    /// The address as it was resolved or written, not the inner one.
    pub address: IpAddr,
    /// Why.
    pub kind: AddressKind,
}

/// What kind of address it is that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of `Display` say it")]
pub enum AddressKind {
    ThisNetwork,
    Loopback,
    Private,
    CarrierNat,
    LinkLocal,
    UniqueLocal,
    Multicast,
    Broadcast,
    Documentation,
    Benchmarking,
    CloudPlatform,
    Reserved,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisNetwork => "an unspecified address (this network)",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::CarrierNat => "an address of a carrier's NAT",
            Self::LinkLocal => "a link-local address",
            Self::UniqueLocal => "a unique-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::CloudPlatform => "an address of the cloud platform",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Judges one address. `allow` is `firing.allow_addresses`; it is asked for the address and for the one inside it.
pub fn judge(address: IpAddr, allow: &[IpNet]) -> Result<(), AddressRefused> {
    if listed(address, allow) {
        return Ok(());
    }
    let kind = match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => match inner_v4(v6) {
            Some(inner) => inner.into_iter().flatten().filter(|v4| !listed(IpAddr::V4(*v4), allow)).find_map(kind_v4),
            None => kind_v6(v6),
        },
    };
    kind.map_or(Ok(()), |kind| Err(AddressRefused { address, kind }))
}

/// Judges all addresses of a name: one bad one refuses all, else a name could hide it among good ones.
pub fn judge_all(addresses: impl IntoIterator<Item = IpAddr>, allow: &[IpNet]) -> Result<(), AddressRefused> {
    addresses.into_iter().try_for_each(|address| judge(address, allow))
}

/// Judges a URI's host when it is an address, in any of the forms that a URI allows (`0x7f.1`, `2130706433`), or
/// `localhost`. Other names are judged by what they resolve to, when the hook fires.
pub fn judge_literal(uri: &Url, allow: &[IpNet]) -> Result<(), AddressRefused> {
    match uri.host() {
        Some(Host::Ipv4(v4)) => judge(IpAddr::V4(v4), allow),
        Some(Host::Ipv6(v6)) => judge(IpAddr::V6(v6), allow),
        // RFC 6761, 6.3: these names are the loopback address everywhere.
        Some(Host::Domain(name)) if is_localhost(name) => judge(IpAddr::V4(Ipv4Addr::LOCALHOST), allow),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn listed(address: IpAddr, allow: &[IpNet]) -> bool {
    allow.iter().any(|net| net.contains(&address))
}

fn kind_v4(address: Ipv4Addr) -> Option<AddressKind> {
    Some(match address.octets() {
        [0, ..] => AddressKind::ThisNetwork,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        [100, 64..=127, ..] => AddressKind::CarrierNat,
        [169, 254, ..] => AddressKind::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Documentation,
        [198, 18..=19, ..] => AddressKind::Benchmarking,
        // Azure's wire server: a public number that answers inside the platform only.
        [168, 63, 129, 16] => AddressKind::CloudPlatform,
        // IETF protocol assignments; the 6to4 relays, given up by RFC 7526.
        [192, 0, 0, _] | [192, 88, 99, _] => AddressKind::Reserved,
        [224..=239, ..] => AddressKind::Multicast,
        [255, 255, 255, 255] => AddressKind::Broadcast,
        [240..=255, ..] => AddressKind::Reserved,
        _ => return None,
    })
}

/// Judges an IPv6 address that carries no IPv4 address. Only `2000::/3` is given out for the internet.
fn kind_v6(address: Ipv6Addr) -> Option<AddressKind> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressKind::ThisNetwork,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        // Site-local, given up by RFC 3879, still private where it is used.
        [0xfec0..=0xfeff, ..] => AddressKind::Private,
        [0xfc00..=0xfdff, ..] => AddressKind::UniqueLocal,
        [0xff00..=0xffff, ..] => AddressKind::Multicast,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => AddressKind::Documentation,
        [0x2001, 0x0002, 0, ..] => AddressKind::Benchmarking,
        // The rest of the IETF's protocol assignments, 2001::/23 (ORCHID and the like).
        [0x2001, 0..=0x01ff, ..] => AddressKind::Reserved,
        [0x2000..=0x3fff, ..] => return None,
        _ => AddressKind::Reserved,
    })
}

/// The IPv4 addresses that an IPv6 address carries; `None` when it is of no such kind.
fn inner_v4(address: Ipv6Addr) -> Option<[Option<Ipv4Addr>; 2]> {
    let o = address.octets();
    let last = Ipv4Addr::new(o[12], o[13], o[14], o[15]);
    Some(match address.segments() {
        // Mapped, ::ffff:0:0/96, and its translated sister ::ffff:0:0:0/96 (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [Some(last), None],
        // NAT64, the well-known prefix (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => [Some(last), None],
        // NAT64 of the local network (RFC 8215): the prefix may be cut at 48 bits, with the address around octet 8, or
        // longer, with the address at the end. Which one is not to be seen from here, so both must be good.
        [0x64, 0xff9b, 1, ..] => [Some(Ipv4Addr::new(o[6], o[7], o[9], o[10])), Some(last)],
        // 6to4 (RFC 3056).
        [0x2002, ..] => [Some(Ipv4Addr::new(o[2], o[3], o[4], o[5])), None],
        // Teredo (RFC 4380): the server in the clear, the client with all bits turned.
        [0x2001, 0, ..] => {
            [Some(Ipv4Addr::new(o[4], o[5], o[6], o[7])), Some(Ipv4Addr::new(!o[12], !o[13], !o[14], !o[15]))]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(address: &str) -> Option<AddressKind> {
        judge(address.parse().unwrap(), &[]).err().map(|refused| refused.kind)
    }

    #[test]
    fn public_addresses_may_be_dialled() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "169.253.0.1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(refused(address), None, "{address}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_kind() {
        use AddressKind::*;
        for (address, kind) in [
            ("0.0.0.0", ThisNetwork),
            ("0.1.2.3", ThisNetwork),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.6.8", Private),
            ("100.64.0.1", CarrierNat),
            ("100.100.100.200", CarrierNat),
            ("169.254.169.254", LinkLocal),
            ("192.0.2.1", Documentation),
            ("198.51.100.1", Documentation),
            ("203.0.113.7", Documentation),
            ("198.18.0.1", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("192.0.0.8", Reserved),
            ("192.88.99.1", Reserved),
            ("168.63.129.16", CloudPlatform),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Broadcast),
            ("::", ThisNetwork),
            ("::1", Loopback),
            ("::7f00:1", Reserved),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("fd00:ec2::254", UniqueLocal),
            ("fc00::1", UniqueLocal),
            ("ff02::1", Multicast),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("2001:2::1", Benchmarking),
            ("2001:10::1", Reserved),
            ("2001:20::1", Reserved),
            ("100::1", Reserved),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
        ] {
            assert_eq!(refused(address), Some(kind), "{address}");
        }
    }

    #[test]
    fn an_address_inside_an_address_is_judged() {
        use AddressKind::*;
        for (address, kind) in [
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:0:10.0.0.1", Private),
            ("64:ff9b::10.0.0.1", Private),
            ("64:ff9b::169.254.169.254", LinkLocal),
            // 48-bit prefix with 10.0.0.1 around octet 8, and a good address at the end to lead astray.
            ("64:ff9b:1:a00:0:100:808:808", Private),
            ("64:ff9b:1::10.0.0.1", ThisNetwork),
            ("2002:7f00:1::1", Loopback),
            ("2002:c0a8:608::1", Private),
            // Teredo with a good server and 127.0.0.1 as client, then with a private server.
            ("2001:0:808:808:0:0:80ff:fffe", Loopback),
            ("2001:0:a00:1:0:0:f7f7:f7f7", Private),
        ] {
            assert_eq!(refused(address), Some(kind), "{address}");
        }
    }

    #[test]
    fn what_the_operator_lists_is_allowed() {
        let allow = ["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "fd12::1"] {
            assert_eq!(judge(address.parse().unwrap(), &allow), Ok(()), "{address}");
        }
        assert!(judge("10.0.0.1".parse().unwrap(), &allow).is_err());
        assert!(judge("::1".parse().unwrap(), &allow).is_err());
    }

    #[test]
    fn one_bad_address_refuses_all() {
        let good: IpAddr = "1.1.1.1".parse().unwrap();
        let bad: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(judge_all([good, good], &[]), Ok(()));
        assert_eq!(judge_all([good, bad], &[]).map_err(|refused| refused.address), Err(bad));
    }

    #[test]
    fn literals_are_found_in_all_their_forms() {
        for uri in [
            "http://0/",
            "http://0:5984/_replicate//",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://127.1/",
            "http://0177.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::1]:80/",
            "https://user:pass@192.168.6.8:0/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
            "https://localhost:345/webhook",
            "http://LOCALHOST./",
            "http://a.localhost/",
        ] {
            let parsed = Url::parse(uri).unwrap();
            assert!(judge_literal(&parsed, &[]).is_err(), "{uri} as {parsed}");
        }
        for uri in ["http://example.com/", "http://1.1.1.1/", "http://notlocalhost/", "http://localhost.example.com/"] {
            assert_eq!(judge_literal(&Url::parse(uri).unwrap(), &[]), Ok(()), "{uri}");
        }
    }

    #[test]
    fn a_refusal_says_what_and_what_to_do() {
        insta::assert_snapshot!(
            judge("10.0.0.1".parse().unwrap(), &[]).unwrap_err(),
            @"10.0.0.1 is a private address; use a public address, or have the operator add it to firing.allow_addresses"
        );
    }

    proptest! {
        /// Whatever the wrapping, the inner address decides.
        #[test]
        fn wrapping_changes_nothing(bits: u32) {
            let inner = Ipv4Addr::from(bits);
            let bare = judge(IpAddr::V4(inner), &[]).is_err();
            let [a, b, c, d] = inner.octets();
            let pair = |x: u8, y: u8| u16::from_be_bytes([x, y]);
            for wrapped in [
                inner.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, pair(a, b), pair(c, d)),
                Ipv6Addr::new(0x2002, pair(a, b), pair(c, d), 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !pair(a, b), !pair(c, d)),
            ] {
                prop_assert_eq!(judge(IpAddr::V6(wrapped), &[]).is_err(), bare, "{}", wrapped);
            }
        }

        /// Nothing that the standard library knows to be special gets through.
        #[test]
        fn agrees_with_the_standard_library(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || judge(IpAddr::V4(v4), &[]).is_err());
        }
    }
}
