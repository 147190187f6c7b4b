//! A kernel that lacks what the programs use: nothing is measured, and the message says what is needed and what is there. What
//! needs no program works all the same.

use std::net::TcpListener;

use harness::{Agent, Ended, Namespace, NetPair};
use nix::sys::utsname::uname;

fn refused(arguments: &str) -> Ended {
    let pair = NetPair::new();
    let ended = Agent::start(&pair.near.namespace, arguments).wait();
    assert_eq!(ended.status.code(), Some(1), "{arguments}: {}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{arguments}: {}", String::from_utf8_lossy(&ended.stdout));
    ended
}

#[test]
fn a_measurement_is_refused_with_the_kernel_it_takes() {
    let kernel = uname().unwrap();
    for arguments in ["report -i near --seconds 1", "-t -i near -s 1", "inspect :1 --seconds 1 -i near"] {
        let ended = refused(arguments);
        for word in ["Linux 5.15 or newer", kernel.release().to_str().unwrap(), "lsof work without"] {
            assert!(ended.stderr.contains(word), "{arguments}: {word} is missing in: {}", ended.stderr);
        }
        // A verifier's log of thousands of lines would hide it.
        assert!(!ended.stderr.contains("processed"), "{arguments}: {}", ended.stderr);
    }
}

#[test]
fn what_needs_no_program_works() {
    let namespace = Namespace::new();
    let listener = namespace.enter(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    for arguments in
        [format!("inspect :{port} --seconds 0"), format!("lsof -nP -iTCP:{port}"), "deleted".to_owned()]
    {
        let ended = Agent::start(&namespace, &arguments).wait();
        assert!(ended.status.success(), "{arguments}: {}", ended.stderr);
        let text = String::from_utf8(ended.stdout).unwrap();
        assert!(arguments == "deleted" || text.contains(&port.to_string()), "{arguments}: {text}");
    }
}
