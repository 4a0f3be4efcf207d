//! CloudFormation, by plain requests.

use standins::cloudformation::{Server, Stack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Status and body of the answer to a form.
async fn ask(server: &Server, form: &str) -> (u16, String) {
    let url = server.url();
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request =
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{form}", form.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn outputs_and_parameters_of_a_stack_are_told() {
    let stack = Stack::default().output("StateBucket", "state").parameter("Config", "[reading]\na = \"<&>\"");
    let server = Server::start([("shop", stack)]).await.unwrap();
    let (status, answer) = ask(&server, "Action=DescribeStacks&Version=2010-05-15&StackName=shop").await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("<OutputKey>StateBucket</OutputKey><OutputValue>state</OutputValue>"), "{answer}");
    assert!(answer.contains("<ParameterValue>[reading]\na = \"&lt;&amp;&gt;\"</ParameterValue>"), "{answer}");
}

/// As CloudFormation words it (CloudFormation API reference, `DescribeStacks`).
#[tokio::test]
async fn an_unknown_stack_and_another_operation_are_refused() {
    let server = Server::start([]).await.unwrap();
    let (status, answer) = ask(&server, "Action=DescribeStacks&Version=2010-05-15&StackName=my%2Dshop").await;
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>ValidationError</Code>"), "{answer}");
    assert!(answer.contains("<Message>Stack with id my-shop does not exist</Message>"), "{answer}");
    let (status, answer) = ask(&server, "Action=DeleteStack&Version=2010-05-15&StackName=shop").await;
    assert!(status == 400 && answer.contains("<Code>InvalidAction</Code>"), "{answer}");
}
