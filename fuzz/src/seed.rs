//! Writes the input to begin with: the case folders, as each target reads them.

use std::fs;
use std::path::Path;

use dynamo_cache::admission::annotation::PREFIX;
use dynamo_cache::config;
// All that is built here reports to libFuzzer, so it has to be there.
use dynamo_cache_fuzz::{POD_ALONE, case, review};
use libfuzzer_sys as _;

fn main() {
    let cases = case::all();
    let (mut reviews, mut settings, mut annotations) =
        (Vec::new(), vec![config::default_file().into_bytes()], Vec::new());
    for (index, case) in cases.iter().enumerate() {
        let index = u16::try_from(index).expect("there are few cases");
        let surroundings = index.to_be_bytes()[1] & !POD_ALONE;
        let alone = case.pod.to_string().into_bytes();
        let whole = review(&case.pod).to_string().into_bytes();
        reviews.extend([[&[surroundings | POD_ALONE][..], &alone].concat(), [&[surroundings][..], &whole].concat()]);
        settings.extend(case.config.as_ref().map(|text| text.clone().into_bytes()));

        let mut words = vec![surroundings, index.to_be_bytes()[0], index.to_be_bytes()[1]];
        for list in [&case.namespace, &case::annotations(&case.pod)] {
            for (name, value) in list {
                words.extend(format!("{}\0{value}\0", name.strip_prefix(PREFIX).unwrap_or(name)).bytes());
            }
            words.push(0);
        }
        annotations.push(words);
    }
    for (target, seeds) in [("review", reviews), ("settings", settings), ("annotations", annotations)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        // What is left of cases that are gone would stay for ever.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("{index:04}")), seed).expect("a seed can be written");
        }
    }
}
