/** The answer of a server that goes on in another protocol, unasked. */
export const anotherProtocol = 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'
