//! A program of somebody else on the same interface: two instructions, written down here.

use aya::{
    Ebpf, EbpfLoader,
    programs::{LinkOrder, SchedClassifier, TcAttachType, tc::TcAttachOptions},
};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};

use crate::Host;

/// What the foreign program says about every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `TCX_NEXT`: it has no opinion.
    Next = -1,
    /// `TCX_DROP`: it drops them all.
    Drop = 2,
}

/// A foreign TCX program. Detached when the value goes.
#[derive(Debug)]
pub struct Foreign {
    _ebpf: Ebpf,
}

impl Foreign {
    /// Attaches it to one direction of a host's interface, behind the programs that are there.
    #[must_use]
    pub fn attach(host: &Host, direction: TcAttachType, verdict: Verdict) -> Self {
        let mut ebpf = EbpfLoader::new().load(&elf(verdict)).expect("load the foreign object");
        let program: &mut SchedClassifier =
            ebpf.program_mut(NAME).expect("the foreign program").try_into().expect("it is a TC program");
        program.load().expect("load the foreign program");
        host.namespace.enter(|| {
            program
                .attach_with_options(
                    host.interface,
                    direction,
                    TcAttachOptions::TcxOrder(LinkOrder::default()),
                )
                .expect("attach the foreign program");
        });
        Self { _ebpf: ebpf }
    }
}

/// Names of the TCX programs on one direction of a host's interface.
#[must_use]
pub fn attached(host: &Host, direction: TcAttachType) -> Vec<String> {
    host.namespace.enter(|| {
        let (_, programs) =
            SchedClassifier::query_tcx(host.interface, direction).expect("ask for TCX programs");
        programs.iter().map(|program| program.name_as_str().unwrap_or_default().to_owned()).collect()
    })
}

/// Name of the foreign program.
pub const NAME: &str = "foreign";

/// An object with the program `r0 = verdict; exit` (RFC 9669).
fn elf(verdict: Verdict) -> Vec<u8> {
    const MOV64_R0: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let [a, b, c, d] = (verdict as i32).to_le_bytes();
    let code = [[MOV64_R0, 0, 0, 0, a, b, c, d], [EXIT, 0, 0, 0, 0, 0, 0, 0]].concat();

    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let licence = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(licence, b"GPL\0", 1);
    let text = object.add_section(Vec::new(), b"classifier".to_vec(), SectionKind::Text);
    object.append_section_data(text, &code, 8);
    object.add_symbol(Symbol {
        name: NAME.into(),
        value: 0,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    object.write().expect("write the foreign object")
}
