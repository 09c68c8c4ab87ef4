//! Validation by the schemas and CEL rules of our kinds.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "types of a connection",
        "POST connections connection a + {spec: {enabled: maybe}}
         POST connections connection a + {spec: {enabled: 1}}
         POST connections connection a + {spec: {displayName: 5}}
         POST connections connection a + {spec: {displayName: [x]}}
         POST connections connection a + {spec: {linksPerSecond: '5'}}
         POST connections connection a + {spec: {linksPerSecond: 1.5}}
         POST connections connection a + {spec: {linksPerSecond: 5.0}}
         POST connections connection a + {spec: {recordTypes: lead}}
         POST connections connection a + {spec: {recordTypes: {lead: true}}}
         POST connections connection a + {spec: {recordTypes: [5]}}
         POST connections connection a + {spec: {credentials: x}}
         POST connections connection a + {spec: {credentials: []}}
         POST connections connection a + {spec: {probe: 5}}
         POST connections connection a + {spec: x}
         POST connections connection a + {spec: []}",
    ),
    (
        "bounds of a connection",
        "POST connections connection a + {spec: {linksPerSecond: 0}}
         POST connections connection a + {spec: {linksPerSecond: 1001}}
         POST connections connection a + {spec: {linksPerSecond: 99999999999}}
         POST connections connection a + {spec: {displayName: ''}}
         POST connections connection a + {spec: {displayName: <x*160>}}
         POST connections connection b + {spec: {displayName: <x*161>}}
         POST connections connection b + {spec: {displayName: <ä*161>}}
         POST connections connection b + {spec: {displayName: <😀*160>}}
         POST connections connection c + {spec: {recordTypes: []}}
         POST connections connection c + {spec: {recordTypes: [<x, *64>]}}
         POST connections connection d + {spec: {recordTypes: [<x, *65>]}}
         POST connections connection d + {spec: {recordTypes: ['']}}
         POST connections connection d + {spec: {recordTypes: [lead, Lead, 'no name']}}
         POST connections connection d + {spec: {recordTypes: [<y*129>]}}",
    ),
    (
        "patterns and rules of a connection",
        "POST connections connection a + {spec: {instanceUrl: 'http://a.crm.example'}}
         POST connections connection a + {spec: {instanceUrl: 'https://a.crm.example/path'}}
         POST connections connection a + {spec: {instanceUrl: 'https:/'}}
         POST connections connection a + {spec: {instanceUrl: ''}}
         POST connections connection a + {spec: {instanceUrl: 'https://<a*260>'}}
         POST connections connection a + {spec: {credentials: {secretRef: null}}}
         POST connections connection a + {spec: {credentials: {workloadIdentity: {clientId: c, serviceAccountName: s, tenantId: t}}}}
         POST connections connection a + {spec: {credentials: {workloadIdentity: {}}}}
         POST connections connection a + {spec: {credentials: {secretRef: {name: A}}}}
         POST connections connection a + {spec: {credentials: {secretRef: {name: ''}}}}
         POST connections connection a + {spec: {credentials: {secretRef: {name: null}}}}
         POST connections connection a + {spec: {credentials: {secretRef: null, workloadIdentity: {clientId: 'a b', serviceAccountName: S, tenantId: ''}}}}
         POST connections connection a + {spec: {probe: {interval: 10s}}}
         POST connections connection a + {spec: {probe: {interval: 30s}, refresh: {interval: 14m59s}}}
         POST connections connection a + {spec: {probe: {interval: soon}}}
         POST connections connection a + {spec: {probe: {interval: ''}}}
         POST connections connection a + {spec: {refresh: {interval: 1d}}}
         POST connections connection a + {spec: {probe: {interval: 29s}, refresh: {interval: 1m}, credentials: {secretRef: null}}}
         POST connections connection a + {spec: {probe: {interval: 30s}, refresh: {interval: 1h30m}}}",
    ),
    (
        "what a connection needs",
        "POST connections connection a + {spec: null}
         POST connections connection a + {spec: {instanceUrl: null}}
         POST connections connection a + {spec: {credentials: null}}
         POST connections connection a + {spec: {credentials: null, instanceUrl: null}}
         POST connections connection a + {spec: {credentials: {secretRef: {name: null}}, displayName: ''}}",
    ),
    (
        "an immutable field of a connection",
        "POST connections connection a
         MERGE connections/a {spec: {instanceUrl: 'https://b.crm.example'}}
         MERGE connections/a {spec: {instanceUrl: 'https://a.crm.example/'}}
         MERGE connections/a {spec: {instanceUrl: 'https://A.crm.Example:443'}}
         MERGE connections/a {spec: {instanceUrl: 'https://a.crm.example:443/'}}
         MERGE connections/a {spec: {instanceUrl: 'https://a.crm.example:4430'}}
         MERGE connections/a {spec: {instanceUrl: 'https://a.crm.example.evil.example'}}
         MERGE connections/a {spec: {instanceUrl: 'http://b'}}
         JSON connections/a [{op: replace, path: /spec/instanceUrl, value: 'https://b.crm.example'}]
         APPLY connections/a?fieldManager=m&force=true connection a + {spec: {instanceUrl: 'https://b.crm.example'}}
         MERGE connections/a {spec: {instanceUrl: 'https://b.crm.example', probe: {interval: 1s}}}
         MERGE connections/a {spec: {instanceUrl: 'https://b.crm.example', linksPerSecond: 0}}
         MERGE connections/a {spec: {credentials: {workloadIdentity: {clientId: c, serviceAccountName: s, tenantId: t}}}}",
    ),
    (
        "several faults at once come in one answer",
        "POST connections connection a + {spec: {linksPerSecond: 0, displayName: '', recordTypes: [], probe: {interval: x}}}
         POST connections connection A + {spec: {linksPerSecond: 0}}
         POST connections connection A + {metadata: {labels: {'-x': y}}, spec: {linksPerSecond: x}}
         POST connections connection a + {metadata: {labels: {'-x': y}}, spec: {credentials: {secretRef: null}}}
         POST connections connection a + {spec: {linksPerSecond: x, displayName: 5, recordTypes: [5, 6]}}
         POST links link a + {spec: {link: {recordType: X}, unlink: true, post: {reach: 101, sentiment: Angry}}}",
    ),
    (
        "an automation rule is validated",
        "POST rules rule r + {spec: {connectionRef: null}}
         POST rules rule r + {spec: {connectionRef: {name: null}}}
         POST rules rule r + {spec: {connectionRef: {name: A}}}
         POST rules rule r + {spec: {active: x}}
         POST rules rule r + {spec: {match: {reach: {min: 5, max: 3}}}}
         POST rules rule r + {spec: {match: {reach: {min: -1}}}}
         POST rules rule r + {spec: {match: {reach: {max: 101}}}}
         POST rules rule r + {spec: {match: {reach: {min: x, max: 3}}}}
         POST rules rule r + {spec: {match: {sentiments: [Angry]}}}
         POST rules rule r + {spec: {match: {sentiments: [Positive, Angry, 5]}}}
         POST rules rule r + {spec: {match: {sentiments: [Positive, Positive, Positive, Positive]}}}
         POST rules rule r + {spec: {match: {keywords: [<x, *129>]}}}
         POST rules rule r + {spec: {match: {keywords: ['']}}}
         POST rules rule r + {spec: {match: {keywords: [<x*257>]}}}
         POST rules rule r + {spec: {match: {languages: [e]}}}
         POST rules rule r + {spec: {match: {postTypes: [Story], contributors: [Nobody], intentions: [None]}}}
         POST rules rule r + {spec: {match: {authors: {include: x}}}}
         POST rules rule r + {spec: {since: yesterday}}
         POST rules rule r + {spec: {since: '2026-01-01T00:00:00Z'}}
         POST rules rule s + {spec: {since: '2026-02-30T00:00:00Z'}}
         POST rules rule s + {spec: {link: {notes: <x*251>}}}
         POST rules rule s + {spec: {link: {recordType: Lead}}}",
    ),
    (
        "keywords that cannot find anything are refused",
        "POST rules rule a + {spec: {match: {keywords: [late, '!!!', '#', ' ', \"\\ufe0f\", '＃ ・ 。', '🏽']}}}
         POST rules rule a + {spec: {match: {keywords: ['-late', ' – late', '−5', '－late']}}}
         POST rules rule a + {spec: {match: {keywords: ['*', '*late', 're*fund', 'late *', 'late**', \"la*\\nte\"]}}}
         POST rules rule a + {spec: {match: {keywords: ['a|b', '!late', 'NOT late', \"late\tOR early\", 'a AND b']}}}
         POST rules rule a + {spec: {match: {excludeKeywords: ['!!!', '-late', 're*fund']}}}
         POST rules rule a + {spec: {match: {keywords: ['late*', ' late ', 'late＊ ', e-mail, C++, .NET, '50%', '😡', 退款, כסף, ไทย]}}}
         POST rules rule b + {spec: {match: {excludeKeywords: ['#ad', 'give*']}}}
         POST rules rule c + {spec: {match: {keywords: [<'a keyword of many words that is looked up in every post*', *128>]}}}",
    ),
    (
        "a link is validated",
        "POST links link a + {spec: {post: null}}
         POST links link a + {spec: {post: {id: null}}}
         POST links link a + {spec: {post: {url: null}}}
         POST links link a + {spec: {post: {url: 'ftp://x'}}}
         POST links link a + {spec: {post: {url: 'https://a b'}}}
         POST links link a + {spec: {post: {id: ''}}}
         POST links link a + {spec: {post: {id: <x*161>}}}
         POST links link a + {spec: {post: {reach: 101}}}
         POST links link a + {spec: {post: {reach: -1}}}
         POST links link a + {spec: {post: {sentiment: Angry}}}
         POST links link a + {spec: {post: {type: Story, contributor: Nobody, intentions: [None]}}}
         POST links link a + {spec: {post: {type: 5}}}
         POST links link a + {spec: {post: {author: {handle: '', tags: ['']}}}}
         POST links link a + {spec: {post: {author: {profileUrl: x}}}}
         POST links link a + {spec: {post: {publishedAt: 2026}}}
         POST links link a + {spec: {post: {publishedAt: '2026'}}}
         POST links link a + {spec: {post: {content: <x*32769>}}}
         POST links link a + {spec: {post: {title: <x*1025>}}}
         POST links link a + {spec: {post: {language: e}}}
         POST links link a + {spec: {link: {recordId: x}}}
         POST links link a + {spec: {link: {recordId: 0f8fad5b-d9cb-469f-a165-70867728950e}, unlink: true}}
         POST links link a + {spec: {link: {}, unlink: true}}
         POST links link a + {spec: {link: {connectionRef: {}}}}
         POST links link a + {spec: {link: {connectionRef: {name: B}}}}
         POST links link a + {spec: {link: {notes: <n*250>}}}
         MERGE links/a {spec: {unlink: true}}
         MERGE links/a {spec: {link: null, unlink: true}}
         MERGE links/a {spec: {link: {}}}",
    ),
    (
        "a fault that is there already is excused where it is not touched",
        "POST connections connection a
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}], state: Enabled}}
         MERGE connections/a {spec: {displayName: A}}
         MERGE connections/a {spec: {displayName: ''}}
         MERGE connections/a/status {status: {state: Nonsense}}",
    ),
];
