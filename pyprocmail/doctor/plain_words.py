"""Words that are not replaced: those of the languages and of mail itself, which identify no person."""

from __future__ import annotations

from pyprocmail.procmail.compiled import variables

_WORDS = b"""
    admin administrator autoanswer listproc listserv mirror mmdf mmgr netserv office ops postman response service
    services servers server uucp
    about ack action address all allow and answer any apply archive as at auth authentication auto autoreply away
    backup bad base64 bash bcc been begin bin bit body bogus boundary bounce bounces bulk by cache cat cc charset co
    comments com condition content control copy count cron daemon date default delivered delivery description dev
    disposition dkim domain done drafts echo edu elsif else encoding end errors esmtp esmtps etc exception exit
    failure fi file filter flag flowed folder for foreach form formail format forwarded found from fwd get gmail
    gpg grep group header help home host hostmaster html http https id if imap importance in inbox include
    incoming info information init internal into invalid is iso it junk keep language learn length level lib
    list lists local localhost lock lockfile logfile loop mail mailbot mailbox maildir maildrop mailer mailfilter
    mailing mails mailto main majordomo man master match maybe md me message messages mh mime mixed msg multipart
    mx my net new news newsgroups newsletter no nobody none noreply not null of ok old on or org organization
    original other out outbox owner part path ping pipe plain pop postmaster precedence print printable priority
    procmail procmailrc pyprocmail quarantine queue quit quoted rc re read received recipient reformail reformime
    references reject release reply report request resent result results return root rule rules run save score seen
    send sender sendmail sent set sh shell short signature site size smtp software spam spamassassin spamc spamd
    spf spool standard start status stop sub subject subscribe support system tab tail tag test text the then this
    time tls tmp to token transfer trash true type unknown unseen unsubscribe us usr utf8 utf user users vacation
    vnd value var version via virus webmaster while with without work www x xfilter yes you your
    mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec gmt utc
    ascii utf iso windows koi8 alternative attachment inline application octet stream image jpeg png pdf zip related
    0 1 2 3 4 5 6 7 8 9 15 64 822 1252 2022 8859
    digest rfc822 base quoted printable flowed micalg protocol pgp smime pkcs
    abort alive cd chmod cp cut date dirname egrep env eval exec expr false fgrep formisc head hostname ln logger ls
    mkdir mv perl printf python rm sed sleep sort test touch tr uniq wc
"""

KEPT = frozenset(_WORDS.split()) | frozenset(
    part for name, *_ in variables.TABLE for part in name.lower().split(b"_")
)  # fmt: skip
"""In lower case; a word is a run of letters, or of digits."""

DOMAINS = frozenset(
    b"com org net edu gov mil int info biz name pro mobi arpa aero asia coop jobs museum tel travel xyz online site "
    b"shop top club app dev cloud email example invalid localhost test local lan intranet internal corp home".split()
)
"""Last labels of host names, apart from those of two letters."""

SUFFIXES = frozenset(b"am cc cf db el gz js la ld mc md pl ps py rb rc sh so".split())
"""Two letters that end the name of a file rather than that of a host, outside conditions."""
