divert(-1)
# /usr/share/sendmail/cf/mailer/pyprocmail.m4: MAILER(`pyprocmail') for Sendmail.
#
# The host of a mailertable's row is the table of the gateway:
#	example.com	pyprocmail:/etc/pyprocmail/gateway
# The mailer runs as PYPROCMAIL_MAILER_USER, one process a recipient.  PYPROCMAIL_NEXT_HOP is where the mail goes on: another server, or a second Sendmail of this machine without the
# mailertable.  Sendmail itself would send the mail to the mailer again; the gateway sees that, and returns it.
ifdef(`PYPROCMAIL_MAILER_PATH',, `define(`PYPROCMAIL_MAILER_PATH', `/usr/local/bin/pyprocmail')')
ifdef(`PYPROCMAIL_MAILER_USER',, `define(`PYPROCMAIL_MAILER_USER', `filter')')
ifdef(`PYPROCMAIL_NEXT_HOP',, `define(`PYPROCMAIL_NEXT_HOP', `127.0.0.1:10026')')
divert(0)dnl
MAILER_DEFINITIONS
Mpyprocmail,	P=PYPROCMAIL_MAILER_PATH, F=DFMhnu9, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/HdrFromSMTP,
		T=DNS/RFC822/X-Unix, U=PYPROCMAIL_MAILER_USER,
		A=pyprocmail gateway --once --next-hop PYPROCMAIL_NEXT_HOP --rules $h -f $g -- $u
