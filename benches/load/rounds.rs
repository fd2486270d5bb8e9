//! The servers by turns: requests per second, processor time per request, latency, handshakes and memory.

use std::path::Path;
use std::time::Duration;

use crate::awake::Awake;
use crate::generator::{self, Run};
use crate::median;
use crate::subject::Subject;

/// An odd number, so that one is in the middle.
const ROUNDS: usize = 5;

/// As the API server keeps alive, more or less.
const CONNECTIONS: u32 = 16;

/// Connections with one request each.
const SHORT: u32 = 200;

/// What the rounds showed of one server.
#[derive(Default)]
struct Seen {
    per_second: Vec<f64>,
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    short: Vec<f64>,
}

/// Prints a table with processors that are kept awake, where that is allowed, and one with processors that are not.
pub(crate) fn run(folder: &Path) {
    let subjects = [
        (Subject::bare_echo(folder), 60_000),
        (Subject::echo(folder), 60_000),
        (Subject::ours(folder), 60_000),
        (Subject::staged(folder), 60_000),
        (Subject::controller_runtime(folder), 2_000),
    ];
    let idle = subjects.each_ref().map(|(subject, _)| subject.process.memory("VmRSS"));
    for (subject, requests) in &subjects {
        measure(folder, subject, CONNECTIONS, requests / 10);
    }
    println!("The 8 kB review over {CONNECTIONS} connections; medians of {ROUNDS} rounds, one processor.\n");
    match Awake::keep() {
        Ok(_awake) => table("Processors are kept awake:", folder, &subjects, idle),
        Err(why) => println!("Processors cannot be kept awake ({why}); as root they can.\n"),
    }
    table("Processors sleep when they have nothing to do:", folder, &subjects, idle);
}

fn table(title: &str, folder: &Path, subjects: &[(Subject, u32); 5], idle: [f64; 5]) {
    let mut all: [Seen; 5] = Default::default();
    for _ in 0..ROUNDS {
        for ((subject, requests), seen) in subjects.iter().zip(&mut all) {
            let (run, cpu) = measure(folder, subject, CONNECTIONS, *requests);
            seen.per_second.push(run.per_second);
            seen.cpu.push(micros(cpu, *requests));
            seen.p50.push(run.percentile(50));
            seen.p99.push(run.percentile(99));
            let (_, cpu) = measure(folder, subject, SHORT, SHORT);
            seen.short.push(micros(cpu, SHORT));
        }
    }
    println!("{title}\n");
    println!("| server | requests/s | CPU per request | p50 | p99 | CPU of a short connection | RSS idle, at most |");
    println!("|---|---|---|---|---|---|---|");
    let mut cpu = Vec::new();
    for (((subject, _), seen), idle) in subjects.iter().zip(all).zip(idle) {
        let [rate, each, p50, p99, short] = [seen.per_second, seen.cpu, seen.p50, seen.p99, seen.short].map(median);
        let (name, most) = (subject.name, subject.process.memory("VmHWM"));
        println!(
            "| {name} | {rate:.0} | {each:.1} µs | {p50:.0} µs | {p99:.0} µs | {short:.0} µs | {idle:.1}, {most:.1} MiB |"
        );
        cpu.push(each);
    }
    let [bare, echo, ours, staged, controller_runtime] = cpu[..] else { unreachable!("one of each") };
    println!(
        "\nCPU per request: {:.2} × the bare echo's, {:.2} × that of the echo on our server, 1/{:.0} of \
         controller-runtime's; staged, {:.2} × direct\n",
        ours / bare,
        ours / echo,
        controller_runtime / ours,
        staged / ours
    );
}

fn measure(folder: &Path, subject: &Subject, connections: u32, requests: u32) -> (Run, Duration) {
    let before = subject.process.cpu();
    let run = generator::run(folder, subject.address, &subject.body, connections, requests, subject.answer);
    (run, subject.process.cpu().saturating_sub(before))
}

/// Processor time of one request.
pub(crate) fn micros(time: Duration, requests: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(requests)
}
