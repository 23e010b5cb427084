"""The screens of `pyprocmail PROGRAM --help`: one line for each option, as in the manual page."""

from __future__ import annotations

from pyprocmail.tools.mime.options import USAGE as MIME

SCREENS = {
    b"formail": b"""\
Usage: pyprocmail formail [options]
       pyprocmail formail [+skip] [-total] [options] -s [program [argument ...]]

Reads a mail from standard input, changes it, and writes it in mailbox format.

Form
  -b               do not escape From_ lines
  -p PREFIX        escape and quote with PREFIX instead of `>'
  -f               make no From_ line
  -c               join folded fields
  -z               one blank after each colon; remove empty fields
  -Y               do not believe Content-Length:
  -q               do not report failed writes, duplicates and wrong lengths
Fields, each with its colon
  -x FIELD         write the content of the field, and nothing else
  -X FIELD         the same with its name
  -k               write the body as well, with -x, -X and -r
  -a FIELD         append the field if there is none of that name
  -A FIELD         append the field
  -i FIELD         append the field; the old ones become Old-FIELD
  -I FIELD         append the field; the old ones are removed
  -u FIELD         keep the first of several
  -U FIELD         keep the last of several
  -R OLD NEW       rename
Answers
  -r               write the header of an answer
  -t               answer to the address in the header, not to the envelope sender
Duplicates and summaries
  -D LENGTH CACHE  exit with 0 if the Message-ID is in the file CACHE; put it there
  -l FOLDER        write the summary that procmail puts into its LOGFILE
Splitting
  -s [PROGRAM ...] split a mailbox, and start PROGRAM for each mail
  +SKIP, -TOTAL    skip the first mails; stop after so many
  -m FIELDS        a mail begins with at least so many known fields
  -e               no empty line is needed before a mail
  -d               mails of a digest need no From_ line
  -B               the input is a BABYL file of rmail
  -n [LIMIT]       do not wait for a program before the next one is started

formail(1) has the rest: man formail
""",
    b"lockfile": b"""\
Usage: pyprocmail lockfile [-SECONDS] [-r retries] [-l timeout] [-s suspend] [-!]
                           [-ml | -mu] file ...

Creates each file as a lock, and waits while it exists.

  -SECONDS    wait so long between attempts (8)
  -r RETRIES  give up after so many attempts; -1: never
  -l TIMEOUT  remove a lockfile that is more than so many seconds old; 0: never
  -s SUSPEND  wait so many seconds after removing one (16)
  -!          exchange the exit statuses 0 and 73
  -ml, -mu    lock, or unlock, the system mailbox of the user
  -v, -h      show the version, or help

lockfile(1) has the rest: man lockfile
""",
    b"mailstat": b"""\
Usage: pyprocmail mailstat [-klmost] [--json] [logfile]

Adds up a LOGFILE: the bytes and the number of mails for each folder.

  -k      keep the log as it is
  -l      show the average as well
  -m      show one row for all lines that are not folder lines
  -o      read LOGFILE.old
  -s      print nothing if no mail arrived
  -t      show neither headings nor totals
  --json  write JSON

mailstat(1) has the rest: man mailstat
""",
    b"maildrop": b"""\
Usage: pyprocmail maildrop [--mbox | --single] [--sync-each] [options] [file [argument ...]]
       pyprocmail maildrop [options] [-d user] [argument ...]
       pyprocmail maildrop [options] -m file [argument ...]
       pyprocmail maildrop [options] [-d user] -M name

Reads a message from standard input, or with a FILE a mailbox, and delivers it by a filter file.

  -A HEADER    add a header before the message
  -a           accepted, without effect
  -d USER      deliver for USER
  -f ADDRESS   the envelope sender
  -M NAME      embedded mode with ~/.mailfilters/NAME
  -m           embedded mode with FILE
  -V LEVEL     log what is done; 0 to 9
  -W FILE      the text of the warning of -w
  -w PERCENT   store a warning in a maildir that is this full
  -h           list the options
  -v           show the version
  --mbox       standard input is a mailbox
  --single     standard input is one message
  --sync-each  write each message of a mailbox to disk before the next is read

maildrop(1) and maildropfilter(7) have the rest: man maildrop
""",
    b"reformail": b"""\
Usage: pyprocmail reformail [options]
       pyprocmail reformail -x header: | -X header: ...
       pyprocmail reformail -D length file
       pyprocmail reformail -s program [argument ...]

Reads a message from standard input, and writes it with the requested changes.

  -A HEADER       add a header
  -a HEADER       add a header if there is none of its name
  -c              put folded headers on one line
  -d[0 | 1]       end lines with LF, or with CR LF
  -f[0 | 1]       make the From_ line a Return-Path header, or make a From_ line
  -I HEADER       put a header in the place of those of its name
  -i HEADER       the same; these become Old-HEADER
  -R OLD: NEW:    rename
  -U HEADER:      keep the last one only
  -u HEADER:      keep the first one only
  -X HEADER:      print headers
  -x HEADER:      print the contents of headers
  -D LENGTH FILE  check whether the Message-ID is in the cache FILE
  -s PROGRAM      split a mailbox, and start PROGRAM for each message

reformail(1) has the rest: man reformail
""",
    b"lockmail": b"""\
Usage: pyprocmail lockmail [-r] [-t seconds] mailbox program [argument ...]

Locks the mailbox, runs the program, and removes the locks.

  -r          accept a mailbox that can only be read
  -t SECONDS  try for this time

lockmail(1) has the rest: man lockmail
""",
    b"mailbot": b"""\
Usage: pyprocmail mailbot [options] -t file | -m file [program [argument ...]]

Reads a message from standard input, and passes an answer to the program (sendmail -f "").

  -A HEADER      add a header; use it for From
  -a             attach the whole message to a report
  -c CHARSET     the character set of the text
  -D DAYS        answer the same sender only after so many days
  -d NAME        where the senders are kept: NAME.gdbm
  -e             answer to Errors-To or Return-Path
  -F LINE        the line before a forwarded message
  -l MAILDIR     the maildir whose latest mail is the text, for replydraft
  -m FILE        the text, with MIME headers
  -t FILE        the text, without MIME headers
  --feedback-NAME VALUE   a field of a feedback report
  -M RECIPIENT   the recipient in the delivery report
  -N             do not quote the message
  -n             write the answer to standard output
  -R TYPE        type of a feedback report: abuse, fraud, virus or other
  -r ADDRESSES   answer only if one of them is in To or Cc
  -S TEXT        the salutation
  -s SUBJECT     the subject
  -T FORMAT      reply, replyall, replydsn, replydraft, forward, forwardatt, feedback, replyfeedback

mailbot(1) has the rest: man mailbot
""",
    b"reformime": b"""\
Usage: pyprocmail reformime [options]

Reads a message from standard input, and shows or takes apart its MIME structure.

  -c CHARSET    the character set of headers and text
  -D, -d        the recipients of a delivery report
  -e            write a section, decoded
  -h TEXT       decode a header
  -H TEXT       decode a header with addresses
  -i            show what each section is
  -m            make a digest of files; reads their names
  -o TEXT       encode a header
  -O TEXT       encode a header with addresses
  -r[7 | 8]     write the message with MIME headers, in 7bit or 8bit
  -s SECTION    the section for the other options
  -u            write the lines in which patterns of a filter file are searched
  -X PROGRAM    start PROGRAM for a section
  -x[PREFIX]    write sections to files

reformime(1) has the rest: man reformime
""",
    b"maildirmake": b"""\
Usage: pyprocmail maildirmake [options] maildir

Makes a maildir, or changes one.

  -f FOLDER         make a folder in the maildir
  -F FOLDER         the same, with the name in the character set of the locale
  -q QUOTA          give the maildir a quota, as 10000000S,1000C
  -S                let others look for shared folders in the maildir
  -s KEYWORDS       with -f: let others use the folder: read, write, group
  --add NAME=PATH   use a shared maildir under this name
  --del NAME        stop using a shared maildir

maildirmake(1) has the rest: man maildirmake
""",
    b"deliverquota": b"""\
Usage: pyprocmail deliverquota [-c] [-w percent] [-W file] maildir [quota]

Stores the message on standard input in a maildir, unless it is full.

  -c           make the maildir if it is missing
  -w PERCENT   store a warning in the maildir if it is this full
  -W FILE      the warning

deliverquota(8) has the rest: man deliverquota
""",
    b"makemime": b"""\
Usage: pyprocmail makemime -c [type] [options] file
       pyprocmail makemime -m [type] [options] section
       pyprocmail makemime -j [-o file] multipart section
       pyprocmail makemime @file

Makes MIME sections of files, and multiparts of sections.

  -c [TYPE]     make a section of a file; auto: text or not, by its contents
  -m [TYPE]     make a multipart of a section
  -j            put another section into a multipart
  -a HEADER     add a header
  -C CHARSET    the character set of a text
  -e ENCODING   7bit, 8bit, quoted-printable or base64
  -N NAME       the name of the file
  -o FILE       write to this file

A file is a name, - for standard input, &N for a descriptor, or ( options ) for what
these make; @FILE has options and values, one a line.

makemime(1) has the rest: man makemime
""",
    b"vacation": b"""\
Usage: pyprocmail vacation --text FILE [--address ADDRESS] [options] [-- program ...]

Answers the message on standard input while you are away: each sender once a week.

  -a, --address ADDRESS  an address of mine: only mail to one of them is answered
  -c, --cache FILE       the file of answered senders: ~/.vacation.cache
  -d, --days N           answer the same sender only after so many days
  -f, --from ADDRESS     the From address of the answer
  --handle NAME          answers with one name count as one, whatever their text
  -n, --show             write the answer, or why there is none
  -s, --subject TEXT     the subject, instead of Auto: and that of the message
  --sender ADDRESS       the envelope sender, instead of that of the From_ line
  -t, --text FILE        the text of the answer; $SUBJECT in it is that of the message

pyprocmail-vacation(1) has the rest: man pyprocmail-vacation
""",
    b"duplicate": b"""\
Usage: pyprocmail duplicate [options]

Exits with 0 if the message on standard input was here before, with 1 if not.

  -c, --cache FILE  the file of known messages: ~/.duplicate.cache
  --days N          for so many days: 7
  --exact           the same copy again is a duplicate, too: for mailboxes
  --handle NAME     messages known under one name are unknown under another
  --header NAME     the header that tells messages apart: Message-ID
  --last            the days begin again with each duplicate

pyprocmail-duplicate(1) has the rest: man pyprocmail-duplicate
""",
    b"mime": MIME,
    b"makedat": b"""\
Usage: pyprocmail makedat -src=textfile -file=database -tmp=temporary

Makes a database for the gdbm functions of filter files: a line is a key, a tab and a value.

makedat(1) has the rest: man makedat
""",
}
