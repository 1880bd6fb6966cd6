module.exports = require('../dist/resource-server/fastify.js')
