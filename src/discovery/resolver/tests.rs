use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::*;

fn resolver(text: &str) -> Resolver {
    Resolver::parse(text)
}

#[test]
fn resolv_conf_is_read_as_the_manual_describes_it() {
    let read = resolver(
        "# comment\nnameserver 10.0.0.1\nnameserver fd00::1\nnameserver nonsense\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n\
         domain old.example\nsearch a.example. b.example\noptions ndots:5 timeout:2 attempts:3 rotate edns0 ndots:x\nsortlist 1.2.3.4\n",
    );
    let servers: Vec<String> = read.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
    assert_eq!(read.search, ["a.example", "b.example"]);
    assert_eq!(
        (read.dots, read.patience, read.attempts),
        (5, Duration::from_secs(2), 3)
    );
    let nothing = resolver("");
    assert_eq!(
        nothing.servers,
        ["127.0.0.1:53".parse::<SocketAddr>().unwrap()]
    );
    assert_eq!(
        (nothing.dots, nothing.patience, nothing.attempts),
        (1, Duration::from_secs(5), 2)
    );
    let endless = resolver("options timeout:255 attempts:255 ndots:255\nsearch a b c d e f g h");
    assert_eq!(
        (endless.dots, endless.patience, endless.attempts),
        (15, Duration::from_secs(30), 5)
    );
    assert_eq!(endless.search.len(), MAX_SEARCH);
}

#[test]
fn names_are_searched_for_as_the_manual_describes_it() {
    let read = resolver("search x y\noptions ndots:2");
    let check =
        |name: &str, expected: &[&str]| assert_eq!(read.candidates(name), expected, "{name}");
    check("a.", &["a"]);
    check("a", &["a.x", "a.y", "a"]);
    check("a.b", &["a.b.x", "a.b.y", "a.b"]);
    check("a.b.c", &["a.b.c", "a.b.c.x", "a.b.c.y"]);
}

/// A name server on loopback that says of each question what `answer` makes of it, and how many there were.
async fn server(
    answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            for told in answer(number, &bytes[..length]) {
                socket.send_to(&told, from).await.unwrap();
            }
        }
    });
    (address, asked)
}

/// The question as its own answer: with these flags, and these addresses.
fn told(question: &[u8], flags: [u8; 2], addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2..4].copy_from_slice(&flags);
    bytes[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        bytes.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04");
        bytes.extend(address);
    }
    bytes
}

fn at(servers: &[SocketAddr]) -> Resolver {
    Resolver {
        servers: servers.to_vec(),
        search: vec!["x".to_owned()],
        dots: 1,
        patience: Duration::from_secs(20),
        attempts: 2,
    }
}

async fn look_up(resolver: &Resolver, name: &str) -> Result<Vec<Record>, LookupError> {
    resolver.look_up(name, RecordType::A).await
}

fn addresses(all: &[[u8; 4]]) -> Vec<Record> {
    all.iter()
        .map(|octets| Record::Address(IpAddr::from(*octets)))
        .collect()
}

const GOOD: [u8; 2] = [0x81, 0x80];

#[tokio::test]
async fn a_forged_answer_is_not_taken() {
    let (server, asked) = server(|_, question| {
        let mut other_number = told(question, GOOD, &[[6, 6, 6, 6]]);
        other_number[0] ^= 1;
        let mut other_name = told(question, GOOD, &[[6, 6, 6, 6]]);
        other_name[13] = b'b';
        let good = told(question, GOOD, &[[10, 0, 0, 1]]);
        vec![
            Vec::new(),
            b"nonsense".to_vec(),
            other_number,
            other_name,
            question.to_vec(),
            good,
        ]
    })
    .await;
    let found = look_up(&at(&[server]), "a.").await;
    assert_eq!(found, Ok(addresses(&[[10, 0, 0, 1]])));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn another_server_is_asked_when_one_fails() {
    let (failing, asked) = server(|_, question| vec![told(question, [0x81, 0x82], &[])]).await;
    let (good, _) = server(|_, question| vec![told(question, GOOD, &[[10, 0, 0, 2]])]).await;
    assert_eq!(
        look_up(&at(&[failing, good]), "a.").await,
        Ok(addresses(&[[10, 0, 0, 2]]))
    );
    assert_eq!(
        look_up(&at(&[failing]), "a.").await,
        Err(LookupError::Refused)
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1 + 2, "each is asked twice");
    let silent = Resolver {
        patience: Duration::from_millis(50),
        ..at(&[server(|_, _| Vec::new()).await.0])
    };
    assert_eq!(look_up(&silent, "a.").await, Err(LookupError::Timeout));
}

#[tokio::test]
async fn a_name_is_nobodys_only_when_all_say_so() {
    // The first question is for a.x, the second for a.
    let (moved, _) = server(|number, question| {
        let found: &[[u8; 4]] = if number == 1 { &[[10, 0, 0, 3]] } else { &[] };
        vec![told(
            question,
            if number == 1 { GOOD } else { [0x81, 0x83] },
            found,
        )]
    })
    .await;
    assert_eq!(
        look_up(&at(&[moved]), "a").await,
        Ok(addresses(&[[10, 0, 0, 3]]))
    );
    let (nobody, _) = server(|_, question| vec![told(question, [0x81, 0x83], &[])]).await;
    assert_eq!(look_up(&at(&[nobody]), "a").await, Ok(Vec::new()));
    let (half, _) = server(|number, question| {
        vec![told(
            question,
            [0x81, if number == 0 { 0x83 } else { 0x82 }],
            &[],
        )]
    })
    .await;
    assert_eq!(look_up(&at(&[half]), "a").await, Err(LookupError::Refused));
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_over_a_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let cut = told(&bytes[..length], [0x83, 0x80], &[]);
            socket.send_to(&cut, from).await.unwrap();
        }
    });
    let all: Vec<[u8; 4]> = (0..250).map(|number| [10, 0, 0, number]).collect();
    let whole = all.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            let told = told(&question, GOOD, &whole);
            stream
                .write_u16(u16::try_from(told.len()).unwrap())
                .await
                .unwrap();
            stream.write_all(&told).await.unwrap();
        }
    });
    assert_eq!(look_up(&at(&[address]), "a.").await, Ok(addresses(&all)));
}
