//! The directory: members, sessions and API tokens in memory, which decisions read.
//!
//! Follows the store's change feed and has no other writer, with one exception: the last use of a
//! session or a token is recorded here first. Reads take no lock that a writer can hold. Strings of
//! one member share one allocation; roles and account names are interned. Most decisions read only
//! [`member_index`]. Does not check who may see a member, nor when a session expires.

mod member_index;
mod role_index;
mod token_index;

use std::borrow::Cow;
use std::cmp::Ordering as Order;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use foldhash::quality::RandomState;
use tokio::sync::watch;

use self::member_index::{MemberIndex, SlotCounts};
pub use self::role_index::MemberGroup;
use self::role_index::{LoadedMembers, LoadedRun, RoleIndex};
use self::token_index::TokenIndex;
use crate::domain::{
    AccountSlug, ApiToken, ApiTokenId, Change, ChangedRecord, ImportId, LoadedRecord, Member,
    MemberAccess, MemberId, MemberTexts, MemberView, Revision, RoleId, Session, SessionId, Status,
    Timestamp, TokenHash,
};

/// Ids up to this length, which all generated ones have, are stored inline in the table.
const SHORT_ID: usize = 31;

/// An id as the table stores it. A lookup must not follow a pointer: with a million members that
/// would be one more cache miss.
#[derive(Debug, PartialEq, Eq)]
enum MemberKey {
    /// The id, padded with zeros, which no id contains.
    Short([u8; SHORT_ID]),
    Long(Box<str>),
}

impl MemberKey {
    fn new(id: &str) -> Self {
        let mut short = [0; SHORT_ID];
        match short.get_mut(..id.len()) {
            Some(begin) => {
                begin.copy_from_slice(id.as_bytes());
                Self::Short(short)
            }
            None => Self::Long(id.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => id_in(bytes),
            Self::Long(id) => id.as_bytes(),
        }
    }

    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }
}

impl Hash for MemberKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        MemberKeyRef(self.bytes()).hash(state);
    }
}

impl Ord for MemberKey {
    fn cmp(&self, other: &Self) -> Order {
        match (self, other) {
            // The zeros behind an id are before everything that an id contains.
            (Self::Short(one), Self::Short(other)) => one.cmp(other),
            _ => self.bytes().cmp(other.bytes()),
        }
    }
}

impl PartialOrd for MemberKey {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

fn id_in(short: &[u8; SHORT_ID]) -> &[u8] {
    short.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An id to look up.
#[derive(Hash)]
struct MemberKeyRef<'i>(&'i [u8]);

impl papaya::Equivalent<MemberKey> for MemberKeyRef<'_> {
    fn equivalent(&self, key: &MemberKey) -> bool {
        key.bytes() == self.0
    }
}

/// One member, compact: about 200 bytes with everything around it.
#[derive(Debug)]
struct MemberEntry {
    account: Arc<str>,
    role: Arc<str>,
    /// The address key, the first and the last name, concatenated.
    text: Box<str>,
    email_end: u16,
    first_name_end: u16,
    active: bool,
    two_step: bool,
    /// The number of the import that it came with, while that is not made: nobody sees it then.
    import: AtomicU16,
    joined: Timestamp,
}

impl MemberEntry {
    fn new(words: SharedNames, member: &Member, import: u16) -> Self {
        let (email, first) = (member.email.key(), member.first_name.as_str());
        // The domain's limits keep both far below 65,536.
        let end = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        Self {
            account: words.account,
            role: words.role,
            text: [email, first, member.last_name.as_str()].concat().into(),
            email_end: end(email.len()),
            first_name_end: end(email.len() + first.len()),
            active: member.status == Status::Active,
            two_step: member.two_step,
            import: AtomicU16::new(import),
            joined: member.joined,
        }
    }

    fn view<'e>(&'e self, id: &'e str) -> MemberView<'e> {
        MemberView {
            id,
            account: &self.account,
            role: &self.role,
            active: self.active,
            texts: MemberTexts::Joined {
                text: &self.text,
                email_end: self.email_end,
                first_name_end: self.first_name_end,
            },
            two_step: self.two_step,
            joined: self.joined,
        }
    }

    fn group(&self) -> MemberGroup {
        let (account, role) = (Arc::clone(&self.account), Arc::clone(&self.role));
        MemberGroup { account, role, active: self.active }
    }
}

/// A session, as found by its token.
#[derive(Clone, Copy, Debug)]
pub struct SessionView<'s> {
    /// Its public id.
    pub id: &'s SessionId,
    /// Who is signed in.
    pub member: &'s MemberId,
    /// The member's account.
    pub account: &'s AccountSlug,
    /// When the person signed in.
    pub created: Timestamp,
    /// When it was last used.
    pub used: Timestamp,
}

/// One session, without the device and the network it began from.
#[derive(Debug)]
struct LiveSession {
    id: SessionId,
    member: MemberId,
    account: AccountSlug,
    created: Timestamp,
}

/// An API token, as found by its secret.
#[derive(Clone, Debug)]
pub struct ApiTokenView {
    /// Its public id.
    pub id: ApiTokenId,
    /// Its role.
    pub role: RoleId,
    /// The member that it acts as.
    pub member: MemberId,
    /// The creator's account.
    pub account: AccountSlug,
    /// When it was made.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
}

/// The part that only the writer uses.
#[derive(Debug, Default)]
struct WriterState {
    /// Every role that a member has or had.
    roles: HashMap<Arc<str>, RoleUse>,
    /// Every account that a member is or was on, with its number in the member index.
    words: HashMap<Arc<str>, usize>,
    /// Every account that there is.
    accounts: BTreeSet<String>,
    /// Imports that are not made.
    importing: HashMap<ImportId, StagedImport>,
    /// Members that were loaded, who are not in the index by role yet.
    loaded: LoadedMembers,
    /// Members of imports that were made, who are not in the member index yet.
    unindexed: VecDeque<UnindexedGroup>,
    filled: SlotCounts,
}

/// The members of an import that is not made.
#[derive(Debug)]
struct StagedImport {
    number: u16,
    members: RoleIndex,
}

/// The members of a group behind this id.
#[derive(Debug)]
struct UnindexedGroup {
    group: MemberGroup,
    after: String,
}

/// The number of members who came with no import, or with one that was made.
const SEEN_BY_ALL: u16 = 0;
/// The number of imports beyond those that can be numbered: their members are shown one by one.
const NOT_NUMBERED: u16 = u16::MAX;
/// So many members are put into the member index at once: a change waits for them.
const INDEXED_AT_ONCE: usize = 500;

#[derive(Debug)]
struct RoleUse {
    /// In the member index.
    number: usize,
    /// How many members have it.
    members: usize,
}

/// Account and role, as shared strings.
struct SharedNames {
    account: Arc<str>,
    role: Arc<str>,
}

impl WriterState {
    /// The shared string of a role, with its count increased.
    fn hold(&mut self, member_index: &MemberIndex, role: &str) -> (Arc<str>, usize) {
        let word = self.roles.get_key_value(role).map(|(word, _)| Arc::clone(word));
        let word = word.unwrap_or_else(|| role.into());
        let new = || RoleUse { number: member_index.number_role(&word), members: 0 };
        let held = self.roles.entry(Arc::clone(&word)).or_insert_with(new);
        held.members += 1;
        let number = held.number;
        (word, number)
    }

    fn release_role(&mut self, role: &str) {
        if let Some(held) = self.roles.get_mut(role) {
            held.members = held.members.saturating_sub(1);
        }
    }

    /// The shared string of an account.
    fn on_account(&mut self, member_index: &MemberIndex, account: &str) -> (Arc<str>, usize) {
        if let Some((word, number)) = self.words.get_key_value(account) {
            return (Arc::clone(word), *number);
        }
        let word: Arc<str> = account.into();
        let number = member_index.number_account(&word);
        self.words.insert(Arc::clone(&word), number);
        (word, number)
    }
}

/// All members by id, and all sessions and API tokens by the hash of their token.
#[derive(Debug)]
pub struct Directory {
    /// Hashed with a random seed, so that nobody can choose ids that collide.
    members: papaya::HashMap<MemberKey, MemberEntry, RandomState>,
    member_index: MemberIndex,
    /// Who is not hidden.
    role_index: RwLock<RoleIndex>,
    /// Whether each import was made, by its number: one store shows all of its members. The first is that
    /// of [`SEEN_BY_ALL`].
    imports_made: boxcar::Vec<AtomicBool>,
    sessions: TokenIndex<LiveSession>,
    api_tokens: TokenIndex<ApiTokenView>,
    ledger: Mutex<WriterState>,
    /// The revision that decisions see; read without a lock.
    seen: AtomicU64,
    /// The same, for those who wait for it.
    revision: watch::Sender<Revision>,
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Directory {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            members: papaya::HashMap::with_hasher(RandomState::default()),
            member_index: MemberIndex::new(),
            role_index: RwLock::default(),
            imports_made: boxcar::vec![AtomicBool::new(true)],
            sessions: TokenIndex::new(),
            api_tokens: TokenIndex::new(),
            ledger: Mutex::default(),
            seen: AtomicU64::new(0),
            revision: watch::Sender::new(Revision(0)),
        }
    }

    /// Calls `read` with the member of this id, if there is one.
    pub fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        let members = self.members.pin();
        let found = members.get(&MemberKeyRef(id.as_bytes()));
        let seen = found.filter(|entry| self.is_seen(entry));
        seen.map(|entry| read(entry.view(id)))
    }

    fn is_seen(&self, entry: &MemberEntry) -> bool {
        let import = usize::from(entry.import.load(Ordering::Acquire));
        self.imports_made.get(import).is_some_and(|made| made.load(Ordering::Acquire))
    }

    /// Calls `read` with a member's entry in the index, several times faster than [`Self::with`].
    /// `None` does not mean that the member does not exist.
    pub fn access<R>(&self, id: &str, read: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
        self.member_index.with(id, read)
    }

    /// Calls `read` with the session of a token, if there is one.
    pub fn session<R>(
        &self,
        token: &TokenHash,
        read: impl FnOnce(SessionView<'_>) -> R,
    ) -> Option<R> {
        self.sessions.with(token, |live, used| {
            let LiveSession { id, member, account, created } = live;
            let used = used.unwrap_or(*created);
            read(SessionView { id, member, account, created: *created, used })
        })
    }

    /// Records the use of a session; a time before its last use is ignored.
    pub fn session_used(&self, token: &TokenHash, now: Timestamp) {
        self.sessions.note_use(token, now);
    }

    /// The sessions whose last use is not saved in the store yet, with that time.
    #[must_use]
    pub fn sessions_used(&self) -> Vec<(TokenHash, Timestamp)> {
        self.sessions.unwritten(|token, _| *token)
    }

    /// The API token of a secret, if there is one.
    #[must_use]
    pub fn api_token(&self, token: &TokenHash) -> Option<ApiTokenView> {
        self.api_tokens.with(token, |known, _| known.clone())
    }

    /// When an API token was last used, as far as is known.
    #[must_use]
    pub fn api_token_last_used(&self, token: &TokenHash) -> Option<Timestamp> {
        self.api_tokens.with(token, |_, used| used).flatten()
    }

    /// Records the use of an API token; a time before its last use is ignored.
    pub fn api_token_used(&self, token: &TokenHash, now: Timestamp) {
        self.api_tokens.note_use(token, now);
    }

    /// The API tokens whose last use is not saved in the store yet, with that time.
    #[must_use]
    pub fn api_tokens_used(&self) -> Vec<(ApiTokenId, Timestamp)> {
        self.api_tokens.unwritten(|_, known| known.id.clone())
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions_len(&self) -> usize {
        self.sessions.len()
    }

    /// Adds one record while loading; members from several threads.
    pub fn load_one(&self, record: LoadedRecord) {
        match record {
            LoadedRecord::Coming(members) => {
                self.members.pin().reserve(members);
                self.member_index.reserve(&mut self.ledger().filled, members);
            }
            LoadedRecord::Account(account) => {
                self.ledger().accounts.insert(account.slug.as_str().to_owned());
            }
            LoadedRecord::Members(members) => self.load_members(&members),
            LoadedRecord::Importing(import, member) => {
                self.put_hidden(&mut self.ledger(), import, &member);
            }
            LoadedRecord::Session(session) => self.put_session(session),
            LoadedRecord::ApiToken(token) => self.put_api_token(&token),
        }
    }

    /// Those of one group go to the index by role in one step, when all are loaded.
    fn load_members(&self, members: &[Member]) {
        let words: Vec<_> = {
            let ledger = &mut self.ledger();
            members.iter().map(|member| self.enter(ledger, member)).collect()
        };
        let (mut run, mut released) = (LoadedRun::default(), Vec::new());
        for (member, words) in members.iter().zip(words) {
            let entry = MemberEntry::new(words, member, SEEN_BY_ALL);
            run.push(entry.group(), MemberKey::new(member.id.as_str()));
            let members = self.members.pin();
            let before = members.insert(MemberKey::new(member.id.as_str()), entry);
            released.extend(before.map(|before| Arc::clone(&before.role)));
        }
        let mut ledger = self.ledger();
        released.iter().for_each(|role| ledger.release_role(role));
        ledger.loaded.add(run);
    }

    /// Puts the members that were loaded into the index by role.
    fn index_loaded(&self, ledger: &mut WriterState) {
        let loaded = std::mem::take(&mut ledger.loaded);
        if !loaded.is_empty() {
            self.write_role_index().append(RoleIndex::of_loaded(loaded));
        }
    }

    /// Marks everything up to `revision` as loaded.
    pub fn loaded(&self, revision: Revision) {
        self.index_loaded(&mut self.ledger());
        self.reach(revision);
    }

    fn reach(&self, revision: Revision) {
        // Released after the data of the revision: a reader of the number sees no older member.
        self.seen.store(revision.0, Ordering::Release);
        self.revision.send_replace(revision);
    }

    /// Applies one change; its revision is reached once all of it is visible.
    pub fn apply(&self, change: &Change) {
        let mut ledger = self.ledger();
        self.index_loaded(&mut ledger);
        for row in &change.rows {
            match row {
                ChangedRecord::Account(account) => {
                    ledger.accounts.insert(account.slug.as_str().to_owned());
                }
                ChangedRecord::Member(member) => {
                    let words = self.enter(&mut ledger, member);
                    if let Some(role) = self.put(words, member, SEEN_BY_ALL) {
                        ledger.release_role(&role);
                    }
                }
                ChangedRecord::Importing(import, member) => {
                    self.put_hidden(&mut ledger, *import, member);
                }
                ChangedRecord::Imported { import, .. } => self.show(&mut ledger, *import),
                ChangedRecord::ImportGone(import) => {
                    let gone = ledger.importing.remove(import);
                    for id in gone.iter().flat_map(|gone| gone.members.ids_of_all()) {
                        self.remove(&mut ledger, &id.text());
                    }
                }
                ChangedRecord::MemberGone { id, .. } => self.remove(&mut ledger, id.as_str()),
                ChangedRecord::Session(session) => self.put_session(session.clone()),
                ChangedRecord::SessionGone(token) => self.sessions.remove(token),
                ChangedRecord::ApiToken(token) => self.put_api_token(token),
                ChangedRecord::ApiTokenGone(token) => self.api_tokens.remove(token),
                ChangedRecord::LetterQueued | ChangedRecord::Mail(_) => {}
            }
        }
        // Before the ledger is unlocked: see `settled`.
        self.reach(change.revision);
    }

    fn remove(&self, ledger: &mut WriterState, id: &str) {
        self.member_index.remove(&mut ledger.filled, id);
        if let Some(entry) = self.members.pin().remove(&MemberKeyRef(id.as_bytes())) {
            ledger.release_role(&entry.role);
            self.leave_group(entry, &MemberKey::new(id));
        }
    }

    /// Adds a member to the ledger and to the index.
    fn enter(&self, ledger: &mut WriterState, member: &Member) -> SharedNames {
        let (role, role_number) = ledger.hold(&self.member_index, member.role.as_str());
        let (account, account_number) =
            ledger.on_account(&self.member_index, member.account.as_str());
        let (id, active) = (member.id.as_str(), member.status == Status::Active);
        self.member_index.put(&mut ledger.filled, id, account_number, role_number, active);
        SharedNames { account, role }
    }

    /// Adds a member of an import that is not made. It holds its role already, and is in no index.
    fn put_hidden(&self, ledger: &mut WriterState, import: ImportId, member: &Member) {
        let (role, _) = ledger.hold(&self.member_index, member.role.as_str());
        let (account, _) = ledger.on_account(&self.member_index, member.account.as_str());
        let group = MemberGroup {
            account: Arc::clone(&account),
            role: Arc::clone(&role),
            active: member.status == Status::Active,
        };
        let staged = ledger.importing.entry(import).or_insert_with(|| StagedImport {
            number: self.number_import(),
            members: RoleIndex::default(),
        });
        staged.members.insert(group, MemberKey::new(member.id.as_str()));
        let number = staged.number;
        // While few are in it: a table that grows once all are seen would keep changes waiting.
        self.member_index.reserve_ahead(&mut ledger.filled, self.members.len());
        if let Some(role) = self.put(SharedNames { account, role }, member, number) {
            ledger.release_role(&role);
        }
    }

    /// A number that no import has had; a process has enough of them.
    fn number_import(&self) -> u16 {
        match u16::try_from(self.imports_made.count()) {
            Ok(number) if number < NOT_NUMBERED => {
                self.imports_made.push(AtomicBool::new(false));
                number
            }
            _ => NOT_NUMBERED,
        }
    }

    /// Shows the members of an import, at once: no change waits for each of them.
    fn show(&self, ledger: &mut WriterState, import: ImportId) {
        let Some(StagedImport { number, members: staged }) = ledger.importing.remove(&import)
        else {
            return;
        };
        if number == NOT_NUMBERED {
            let members = self.members.pin();
            let entries = staged.ids_of_all().filter_map(|id| members.get(id));
            entries.for_each(|entry| entry.import.store(SEEN_BY_ALL, Ordering::Release));
        }
        let groups = staged
            .groups()
            .map(|group| UnindexedGroup { group: group.clone(), after: String::new() });
        ledger.unindexed.extend(groups);
        self.write_role_index().append(staged);
        if let Some(made) = self.imports_made.get(usize::from(number)) {
            made.store(true, Ordering::Release);
        }
    }

    /// Puts some members of imports into the member index, which decisions can do without; whether there
    /// are more.
    pub fn index_imported(&self) -> bool {
        let mut ledger = self.ledger();
        let ledger = &mut *ledger;
        let Some(next) = ledger.unindexed.front_mut() else { return false };
        let ids = self.group_members(&next.group, &next.after, INDEXED_AT_ONCE);
        let account = ledger.words.get(&next.group.account).copied();
        let role = ledger.roles.get(&next.group.role).map(|role| role.number);
        match (ids.last(), account.zip(role)) {
            (Some(last), Some((account, role))) => {
                next.after.clone_from(last);
                let (index, active) = (&self.member_index, next.group.active);
                ids.iter().for_each(|id| index.put(&mut ledger.filled, id, account, role, active));
            }
            _ => drop(ledger.unindexed.pop_front()),
        }
        !ledger.unindexed.is_empty()
    }

    /// Puts a member into the table; returns the member's previous role.
    fn put(&self, words: SharedNames, member: &Member, import: u16) -> Option<Arc<str>> {
        let entry = MemberEntry::new(words, member, import);
        let (members, id) = (self.members.pin(), member.id.as_str());
        let group = (import == SEEN_BY_ALL).then(|| entry.group());
        let before = members.insert(MemberKey::new(id), entry);
        if let Some(before) = before {
            self.leave_group(before, &MemberKey::new(id));
        }
        if let Some(group) = group {
            self.write_role_index().insert(group, MemberKey::new(id));
        }
        before.map(|before| Arc::clone(&before.role))
    }

    /// Removes the former entry of a member from the index by role.
    fn leave_group(&self, before: &MemberEntry, id: &MemberKey) {
        if self.is_seen(before) {
            self.write_role_index().remove(&before.group(), id);
        }
    }

    /// A writer that panicked has changed nothing of other members.
    fn write_role_index(&self) -> std::sync::RwLockWriteGuard<'_, RoleIndex> {
        self.role_index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_session(&self, session: Session) {
        let Session { id, token, member, account, created, used, .. } = session;
        self.sessions.put(token, Some(used), || LiveSession { id, member, account, created });
    }

    fn put_api_token(&self, token: &ApiToken) {
        self.api_tokens.put(token.token, token.used, || ApiTokenView {
            id: token.id.clone(),
            role: token.role.clone(),
            member: token.member.clone(),
            account: token.account.clone(),
            created: token.created,
            expires: token.expires,
        });
    }

    /// The revision that decisions see.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.seen.load(Ordering::Acquire))
    }

    /// The same, while no change is partly visible: waits for the writer. Not for decisions.
    #[must_use]
    pub fn settled(&self) -> Revision {
        let _ledger = self.ledger();
        self.revision()
    }

    /// Waits until decisions see `revision`; false if `wait` elapses first.
    pub async fn reached(&self, revision: Revision, wait: Duration) -> bool {
        let mut seen = self.revision.subscribe();
        let reached = seen.wait_for(|seen| *seen >= revision);
        tokio::time::timeout(wait, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Whether there is such an account.
    #[must_use]
    pub fn has_account(&self, slug: &str) -> bool {
        self.ledger().accounts.contains(slug)
    }

    /// The first accounts after one, in the order of their slugs.
    #[must_use]
    pub fn accounts(&self, after: &str, limit: usize) -> Vec<String> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        self.ledger().accounts.range::<str, _>(range).take(limit).cloned().collect()
    }

    /// The first group of members in a range that begins here.
    #[must_use]
    pub fn first_group(&self, from: Bound<&MemberGroup>) -> Option<MemberGroup> {
        self.role_index.read().unwrap_or_else(PoisonError::into_inner).first(from)
    }

    /// The first members of a group after an id, in the order of their ids. An empty id is before
    /// all others.
    #[must_use]
    pub fn group_members(&self, group: &MemberGroup, after: &str, limit: usize) -> Vec<String> {
        self.role_index.read().unwrap_or_else(PoisonError::into_inner).ids(group, after, limit)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let ledger = self.ledger();
        let hidden: usize = ledger.importing.values().map(|staged| staged.members.len()).sum();
        self.members.len().saturating_sub(hidden)
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each role that members have, with the number of members, suspended ones and those of imports
    /// that are not made included; sorted.
    #[must_use]
    pub fn roles_held(&self) -> Vec<(RoleId, usize)> {
        let ledger = self.ledger();
        let held = ledger.roles.iter().filter(|(_, held)| held.members > 0);
        let mut held: Vec<_> = held
            .filter_map(|(role, held)| Some((RoleId::parse(role).ok()?, held.members)))
            .collect();
        held.sort();
        held
    }

    /// A writer that panicked leaves each member in its old or its new state.
    fn ledger(&self) -> std::sync::MutexGuard<'_, WriterState> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
